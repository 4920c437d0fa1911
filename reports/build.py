"""From a run folder to its report: read, compute, render, write."""

from __future__ import annotations

from pathlib import Path

from reports.contents import Contents, read_contents
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
from reports.intervals import DRAWS
from reports.page import render


def build(folder: Path, draws: int = DRAWS) -> Path:
    """Report on a run folder, into it."""
    return write_report(read_contents(folder, draws), folder)


def write_report(contents: Contents, folder: Path) -> Path:
    """Write tables, `report.json` and, last, `report.html` into `folder`; return the page."""
    run = contents.run
    page = render(contents)
    for comparison in contents.comparisons:
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
        to_json(twin(contents)),
    )
    write_atomically(folder / "report.html", page)
    return folder / "report.html"
