"""Learning curves of pretraining, a panel per recorded quantity and a line per trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from reports.answer import number
from reports.frame import Run
from reports.multiples import DASHES, Trace, panel, thinned

POINTS_PER_LINE = 60
PANELS_SHOWN = 12

#: Curves that span more than this factor are drawn over a logarithmic axis.
LOGARITHMIC_FROM = 20.0


@dataclass(frozen=True)
class CurvePanel:
    """One recorded quantity; `lost` counts values that are not finite and cannot be drawn."""

    name: str
    svg: str
    summary: str
    lost: int


def pretraining_curves(run: Run, style: Mapping[str, tuple[str, str]]) -> tuple[list[CurvePanel], int]:
    """Curves of every pretraining trial that left any, failed ones too; `style` by name of the arm.

    Returns
    -------
    list, int
        The panels by name, and how many more quantities were recorded than are shown.
    """
    trials = run.trials.filter(pl.col("stage") == "pretrain").select("key", "strategy", "pretraining_seed")
    curves = run.curves.join(trials, on="key").filter(pl.col("strategy").is_in(list(style)))
    names = sorted(curves["name"].unique().to_list())
    panels = [
        _panel(run, name, curves.filter(pl.col("name") == name), style) for name in names[:PANELS_SHOWN]
    ]
    return [one for one in panels if one is not None], max(0, len(names) - PANELS_SHOWN)


def _panel(
    run: Run, name: str, curves: pl.DataFrame, style: Mapping[str, tuple[str, str]]
) -> CurvePanel | None:
    finite = curves.filter(pl.col("value").is_finite())
    if finite.is_empty():
        return None
    traces, words = [], []
    for arm in (arm for arm in style if arm in finite["strategy"]):
        own = finite.filter(pl.col("strategy") == arm)
        for key in own["key"].unique(maintain_order=True):
            one = own.filter(pl.col("key") == key).sort("step")
            points = thinned(
                list(zip(one["step"].to_list(), one["value"].to_list(), strict=True)), POINTS_PER_LINE
            )
            dash = DASHES[list(style).index(arm) % len(DASHES)]
            traces.append(Trace(points, *style[arm], dash=dash))
            words.append(f"{run.arms[arm]['title']} from {_short(points[0][1])} to {_short(points[-1][1])}")
    values = finite["value"]
    low, high = float(values.min() or 0), float(values.max() or 0)  # type: ignore[arg-type]  # a column of floats
    log = low > 0 and high > LOGARITHMIC_FROM * low
    title = name.replace("_", " ") + (" (log scale)" if log else "")
    summary = f"{title}: {'; '.join(words)}"
    return CurvePanel(
        name, panel(title, traces, ("step", ""), summary, log=log), summary, len(curves) - len(finite)
    )


def _short(value: float) -> str:
    return number(value, 3) if 0.01 <= abs(value) < 1000 else f"{value:.2e}"
