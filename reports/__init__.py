"""The report: a run's records in, statistics and one self-contained page out.

It reads the files that `docs/records.md` describes and knows neither the engine nor any domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reports.errors import RecordsError

__all__ = ["FORMATS", "RecordsError", "build_report", "keep_report"]

#: What a report can be written as (`reports.build` knows how).
FORMATS = ("html", "json", "csv", "latex", "md", "svg", "pdf")


def build_report(run_folder: Path, formats: Sequence[str] | None = None) -> Path:
    """Write `report.html`, its twin `report.json` and the tables of a run, or the formats asked for.

    Parameters
    ----------
    run_folder
        A run folder as `docs/records.md` defines it; the only input.
    formats
        Of `FORMATS`; by default the page, its twin and the tables as CSV and LaTeX.

    Returns
    -------
    Path
        What was written last: the page, where it was asked for.

    Raises
    ------
    RecordsError
        If a record is missing, unreadable or contradicts another one.
    """
    from reports.build import DEFAULT, build  # noqa: PLC0415  the command line imports this at start-up

    return build(Path(run_folder), formats=formats or DEFAULT)


def keep_report(run_folder: Path, folder: Path, written: Mapping[str, str | None]) -> Path:
    """Write a run's tables into `folder`, small enough for a repository, with their provenance.

    Parameters
    ----------
    written
        What wrote them: `command`, and the `commit` of the code where it is known.

    Returns
    -------
    Path
        The first page.

    Raises
    ------
    RecordsError
        If a record is missing or contradicts another one, or `folder` holds something else.
    """
    from reports.contents import read_contents  # noqa: PLC0415
    from reports.kept import keep  # noqa: PLC0415
    from reports.statistics.bootstrap import DRAWS  # noqa: PLC0415

    return keep(read_contents(Path(run_folder), DRAWS), Path(folder), written)
