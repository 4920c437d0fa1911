"""Figures of the page: curves of pretraining, ticks of axes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from reports.build import build
from reports.curves import pretraining_curves
from reports.figures import arm_styles
from reports.frame import read_run
from reports.svg import nice_ticks, tick_label
from tests.reports.reading import body_of
from tests.reports.records import TITLES, Records


@given(st.floats(-1e6, 1e6), st.floats(-18, 6))
def test_ticks_enclose_and_are_distinct(low: float, magnitude: float) -> None:
    high = low + 10.0**magnitude
    ticks = nice_ticks(low, high)
    assert len(ticks) >= 2
    assert ticks == sorted(set(ticks))
    if high > low:
        slack = 1e-6 * (ticks[1] - ticks[0]) + 1e-9 * abs(low)
        assert ticks[0] <= low + slack
        assert ticks[-1] >= high - slack
    assert all(tick_label(tick, ticks) for tick in ticks)


def test_pretraining_curves_are_drawn_for_every_arm_that_recorded_them(folder: Path) -> None:
    run = read_run(folder)
    panels, unshown = pretraining_curves(run, arm_styles(run.arms))
    assert ([one.name for one in panels], unshown) == (["validation_loss"], 0)
    last = np.exp(-190 / 60)
    for title in TITLES.values():
        assert f"{title} from 1.000 to {last:.3f}" in panels[0].summary
    drawn = re.findall(r'<path d="(M[^"]+)" stroke="#[0-9a-f]+" stroke-width="1.5"', panels[0].svg)
    assert [one.count("L") for one in drawn] == [19] * 3


def test_curves_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    folder = Records(patients=12).write(tmp_path / "run")
    path = folder / "results" / "curves.parquet"
    broken = pl.when(pl.col("step") > 150).then(float("nan")).otherwise("value")
    pl.read_parquet(path).with_columns(value=broken).write_parquet(path)
    run = read_run(folder)
    assert pretraining_curves(run, arm_styles(run.arms))[0][0].lost == 12
    assert "12 values of validation_loss are not finite" in body_of(build(folder, draws=200).read_text())
