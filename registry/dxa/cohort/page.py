"""The page of a cohort: examples, distributions and balance, one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment

from registry.dxa.cohort.manifest import write_atomically
from registry.dxa.cohort.overview import (
    QUANTITIES,
    CohortOverview,
    SplitOverview,
    cohort_overview,
    spread_examples,
    with_fat_percent,
)
from registry.dxa.cohort.pictures import Picture, saturated, scan_pictures
from registry.dxa.cohort.specification import SPLITS
from registry.dxa.cohort.store import open_split

# Colours that stay apart for most kinds of colour vision, on white and on black.
SPLIT_COLOURS = {"train": "#4477aa", "validation": "#ccbb44", "test": "#aa3377"}
BINS = 16
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 330, 190, 34, 24


@dataclass(frozen=True)
class Example:
    """One scan of the page."""

    title: str
    facts: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Histogram:
    """One drawing and what it says in words."""

    title: str
    summary: str
    svg: str


def write_page(folder: Path, output: Path, *, examples: int = 6) -> None:
    """Write the page of a packed cohort.

    Parameters
    ----------
    folder
        The cohort.
    output
        HTML file.
    examples
        Scans that are shown of each part.

    Raises
    ------
    DataError
        If the folder holds no cohort, or a damaged one.
    """
    overview = cohort_overview(folder)
    template = Environment(autoescape=True).from_string(
        resources.files("registry.dxa.cohort").joinpath("data/page.html.j2").read_text(encoding="utf-8")
    )
    parts = [
        {
            "name": part,
            "examples": _examples(folder, part, examples),
            "histograms": _histograms(overview, part),
            "rows": [_row(split) for split in overview.of_part(part)],
            "imbalance": [_shown(overview.imbalance(part, name), "{:.2f} SD") for name, _ in QUANTITIES],
        }
        for part in overview.manifest.parts
    ]
    text = template.render(
        manifest=overview.manifest,
        title=overview.manifest.origin.title if overview.manifest.origin else "Simulated cohort",
        parts=parts,
        quantities=[label for _, label in QUANTITIES],
        colours=SPLIT_COLOURS,
    )
    write_atomically(output, text.encode("utf-8"))


def _examples(folder: Path, part: str, count: int) -> list[Example]:
    opened = open_split(folder, part, "train")
    subjects = with_fat_percent(opened.subjects)
    found = []
    for row in spread_examples(opened.subjects, count):
        subject = subjects.row(row, named=True)
        codes = np.asarray(opened.scans[row])
        facts = [
            f"{subject[name]:.{digits}f} {unit}"
            for name, digits, unit in (
                ("age_years", 0, "years"),
                ("stature_cm", 0, "cm"),
                ("mass_kg", 0, "kg"),
                ("bmi_kg_m2", 1, "kg/m²"),
                ("fat_percent", 0, "% fat"),
            )
            if subject.get(name) is not None
        ]
        facts += [text.replace("_", " ") for text in (subject.get("implants") or "").split()]
        if saturated(codes):
            facts.append(f"{saturated(codes)} values at the end of the scale")
        title = f"{subject['scan_id']}: {subject.get('sex') or 'sex unknown'}"
        found.append(Example(title, ", ".join(facts), scan_pictures(codes)))
    return found


def _row(split: SplitOverview) -> list[str]:
    cells = [split.split, str(split.patients), str(split.scans)]
    cells.append(_shown(None if split.female_share is None else 100 * split.female_share, "{:.0f} %"))
    for name, _ in QUANTITIES:
        found = split.mean_and_sd(name)
        cells.append("-" if found is None else f"{found[0]:.1f} ({found[1]:.1f})")
    cells.append(_shown(split.implants, "{}"))
    return cells


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _histograms(overview: CohortOverview, part: str) -> list[Histogram]:
    result = []
    for name, label in QUANTITIES:
        values = {s.split: s.values[name] for s in overview.of_part(part) if len(s.values.get(name, ())) > 1}
        if values:
            words = "; ".join(
                f"{split}: median {np.median(own):.1f}, 5 to 95 % {np.percentile(own, 5):.1f} to "
                f"{np.percentile(own, 95):.1f}"
                for split, own in values.items()
            )
            result.append(Histogram(label, words, _histogram(label, values)))
    return result


def _histogram(label: str, values: dict[str, npt.NDArray[np.float64]]) -> str:
    """Shares of each split by bin, as steps; sizes differ, so shares are drawn and not counts."""
    everything = np.concatenate(list(values.values()))
    edges = np.linspace(everything.min(), everything.max() + 1e-9, BINS + 1)
    shares = {split: np.histogram(own, edges)[0] / len(own) for split, own in values.items()}
    top = max(float(share.max()) for share in shares.values())
    right, low = _WIDTH - 8, _HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return float(_LEFT + (value - edges[0]) / (edges[-1] - edges[0]) * (right - _LEFT))

    def y(share: float) -> float:
        return float(low - share / top * (low - 12))

    lines = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">',
        f'<line x1="{_LEFT}" y1="{low}" x2="{right}" y2="{low}" stroke="currentColor"/>',
    ]
    for tick in _ticks(float(edges[0]), float(edges[-1])):
        lines.append(f'<text x="{x(tick):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{tick:g}</text>')
    lines.append(f'<text x="{_LEFT - 4}" y="{y(top) + 4:.1f}" text-anchor="end">{100 * top:.0f} %</text>')
    for split in SPLITS:
        if split not in shares:
            continue
        path = f"M{x(edges[0]):.1f},{y(0):.1f}"
        for share, start, end in zip(shares[split], edges[:-1], edges[1:], strict=True):
            path += f"L{x(start):.1f},{y(share):.1f}L{x(end):.1f},{y(share):.1f}"
        colour = SPLIT_COLOURS[split]
        fill = 'fill-opacity="0.18" ' if split == "train" else 'fill-opacity="0" '
        lines.append(
            f'<path d="{path}L{x(edges[-1]):.1f},{y(0):.1f}" fill="{colour}" {fill}stroke="{colour}" '
            'stroke-width="2"/>'
        )
    return "".join([*lines, "</svg>"])


def _ticks(low: float, high: float, wanted: int = 5) -> Sequence[float]:
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-9) / wanted))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= wanted)
    return [float(tick) for tick in np.arange(np.ceil(low / step) * step, high, step)]
