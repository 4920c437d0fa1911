"""The page of a cohort: examples, distributions and balance, one self-contained HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from jinja2 import Environment

from registry.dxa.cohort.charts import distribution_svg
from registry.dxa.cohort.manifest import Manifest, write_atomically
from registry.dxa.cohort.overview import (
    QUANTITIES,
    CohortOverview,
    SplitOverview,
    cohort_overview,
    spread_examples,
    with_fat_percent,
)
from registry.dxa.cohort.pictures import R_WINDOW, Picture, ramp_css, saturated, scan_pictures
from registry.dxa.cohort.store import open_split


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
        beam=_beam(overview.manifest),
        ramp=ramp_css(),
        r_window=R_WINDOW,
        aspect=overview.manifest.grid.length_cm / overview.manifest.grid.width_cm,
    )
    write_atomically(output, text.encode("utf-8"))


def _beam(manifest: Manifest) -> str:
    """What made the channels, as far as it was declared."""
    kilovolts = {"high": {140.0}, "low": {100.0}}
    if manifest.origin is not None:
        channels = manifest.origin.declaration["scanner"]["channels"]
        kilovolts = {
            energy: {c["kilovolts"] for c in channels if c["energy"] == energy and c.get("kilovolts")}
            for energy in ("high", "low")
        }
    named = [
        f"{energy} energy {' and '.join(f'{value:g}' for value in sorted(values)) or 'of undeclared'} kVp"
        for energy, values in kilovolts.items()
    ]
    return f"Beams: {named[0]}, {named[1]}; behind the air, bone and tissue segments of the filter drum"


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
        found.append(Example(title, ", ".join(facts), scan_pictures(codes, opened.grid)))
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
            result.append(Histogram(label, words, distribution_svg(label, values)))
    return result
