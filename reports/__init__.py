"""The report: a run's records in, statistics and one self-contained page out.

It reads the files that `docs/records.md` describes and knows neither the engine nor any domain.
"""

from __future__ import annotations

from pathlib import Path

from reports.errors import RecordsError

__all__ = ["RecordsError", "build_report"]


def build_report(run_folder: Path) -> Path:
    """Write `report.html`, its twin `report.json` and the tables of a run.

    Parameters
    ----------
    run_folder
        A run folder as `docs/records.md` defines it; the only input.

    Returns
    -------
    Path
        The page, `run_folder / "report.html"`.

    Raises
    ------
    RecordsError
        If a record is missing, unreadable or contradicts another one.
    """
    from reports.build import build  # noqa: PLC0415  the command line imports this package at start-up

    return build(Path(run_folder))
