"""From a run folder to its report: read, compute, render, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reports.budgets import budgets_csv
from reports.contents import Contents, read_contents
from reports.drawings import pdf, standalone
from reports.export import (
    agreement_file,
    differences_csv,
    safe_name,
    table_name,
    to_json,
    twin,
    values_csv,
    write_atomically,
)
from reports.latex import document, table_latex
from reports.markdown import markdown
from reports.page import render
from reports.statistics.bootstrap import DRAWS

DEFAULT = ("csv", "latex", "json", "html")


def build(folder: Path, draws: int = DRAWS, formats: Sequence[str] = DEFAULT) -> Path:
    """Report on a run folder, into it."""
    return write_report(read_contents(folder, draws), folder, formats)


def write_report(contents: Contents, folder: Path, formats: Sequence[str] = DEFAULT) -> Path:
    """Write the report into `folder`, the page last; return the last of what was written.

    Parameters
    ----------
    formats
        Of `FORMATS`; written in the order in which `FORMATS` names them.
    """
    written = folder
    for name, write in FORMATS.items():
        if name in formats:
            written = write(contents, folder)
    return written


def _csv(contents: Contents, folder: Path) -> Path:
    run = contents.run
    for comparison in contents.comparisons:
        for table in comparison.tables:
            stem = folder / "tables" / table_name(comparison, table)
            write_atomically(stem.with_name(f"{stem.name}.csv"), values_csv(run, comparison, table))
            write_atomically(
                stem.with_name(f"{stem.name}-differences.csv"), differences_csv(run, comparison, table)
            )
            for suffix, _, text in agreement_file(run, comparison, table):
                write_atomically(stem.with_name(stem.name + suffix), text)
    if contents.analyses.budgets:
        text = budgets_csv(run, contents.analyses.budgets)
        write_atomically(folder / "tables" / "tuning-budgets.csv", text)
    return folder / "tables"


def _latex(contents: Contents, folder: Path) -> Path:
    names = []
    for comparison in contents.comparisons:
        for table in comparison.tables:
            names.append(table_name(comparison, table))
            text = table_latex(contents.run, comparison, table)
            write_atomically(folder / "tables" / f"{names[-1]}.tex", text)
    write_atomically(folder / "report.tex", document(contents.run, names))
    return folder / "report.tex"


def _json(contents: Contents, folder: Path) -> Path:
    write_atomically(folder / "report.json", to_json(twin(contents)))
    return folder / "report.json"


def _markdown(contents: Contents, folder: Path) -> Path:
    write_atomically(folder / "report.md", markdown(contents))
    return folder / "report.md"


def _svg(contents: Contents, folder: Path) -> Path:
    for name, text in _drawn(contents):
        write_atomically(folder / "figures" / f"{name}.svg", text)
    return folder / "figures"


def _pdf(contents: Contents, folder: Path) -> Path:
    for name, text in _drawn(contents):
        write_atomically(folder / "figures" / f"{name}.pdf", pdf(text))
    return folder / "figures"


def _drawn(contents: Contents) -> list[tuple[str, str]]:
    meta = contents.run.meta
    mark = "SIMULATED DATA. " if contents.run.simulated else ""
    source = f"{mark}{meta['suite']['title']}, cohort {meta['cohort']['fingerprint'][:10]}"
    return [(safe_name(figure.key), standalone(figure, source)) for figure in contents.figures()]


def _html(contents: Contents, folder: Path) -> Path:
    write_atomically(folder / "report.html", render(contents))
    return folder / "report.html"


#: What can be written, and how; the page comes last, so that it is never newer than its files.
FORMATS: Mapping[str, Callable[[Contents, Path], Path]] = {
    "csv": _csv,
    "latex": _latex,
    "md": _markdown,
    "svg": _svg,
    "pdf": _pdf,
    "json": _json,
    "html": _html,
}
