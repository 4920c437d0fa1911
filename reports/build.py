"""From a run folder to its report: read, compute, render, write."""

from __future__ import annotations

from pathlib import Path

from reports.analyses import analyse
from reports.answer import answer, warnings
from reports.export import (
    agreement_file,
    differences_csv,
    table_latex,
    table_name,
    to_json,
    twin,
    values_csv,
    write_atomically,
)
from reports.frame import read_run
from reports.intervals import DRAWS
from reports.page import render
from reports.tables import compare


def build(folder: Path, draws: int = DRAWS) -> Path:
    """Write tables, `report.json` and, last, `report.html`; return the page."""
    run = read_run(folder)
    comparisons = compare(run, draws)
    answers = [answer(one) for one in comparisons]
    cautions = warnings(run, comparisons, answers)
    analyses = analyse(run, comparisons, draws)
    page = render(run, comparisons, answers, cautions, analyses, draws=draws)
    for comparison in comparisons:
        for table in comparison.tables:
            stem = folder / "tables" / table_name(comparison, table)
            write_atomically(stem.with_name(f"{stem.name}.csv"), values_csv(run, comparison, table))
            write_atomically(
                stem.with_name(f"{stem.name}-differences.csv"), differences_csv(run, comparison, table)
            )
            for suffix, _, text in agreement_file(run, comparison, table):
                write_atomically(stem.with_name(stem.name + suffix), text)
            write_atomically(stem.with_name(f"{stem.name}.tex"), table_latex(run, comparison, table))
    write_atomically(
        folder / "report.json",
        to_json(twin(run, comparisons, answers=answers, warnings=cautions, analyses=analyses, draws=draws)),
    )
    write_atomically(folder / "report.html", page)
    return folder / "report.html"
