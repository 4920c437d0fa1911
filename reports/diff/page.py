"""`diff.html` and `diff.json`: a diff of two runs for people and for machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

from markupsafe import Markup

from reports.answer import digits, interval, number
from reports.diff.findings import OUTCOMES, MetricChange, RunDiff
from reports.export import to_json, write_atomically
from reports.page.text import asset, environment

SCHEMA = 1

#: Rows that did not move are counted; so many that moved are shown, and all of them stand in diff.json.
ROWS_SHOWN = 300


def write_diff(found: RunDiff, folder: Path) -> Path:
    """Write `diff.json` and, last, `diff.html` into `folder`; return the page."""
    write_atomically(folder / "diff.json", to_json({"schema": SCHEMA, **asdict(found)}))
    write_atomically(folder / "diff.html", render_diff(found))
    return folder / "diff.html"


def render_diff(found: RunDiff) -> str:
    """The page: self-contained, without scripts; all text from records is escaped."""
    templates = environment()
    templates.filters |= {"change": _change, "value": _value}
    moved = [one for one in found.rows if one.outcome in ("regression", "improvement")]
    return templates.get_template(
        "diff.html.j2"
    ).render(
        diff=found,
        headline=headline(found),
        style=Markup(asset("report.css")),  # noqa: S704  our own file
        moved=moved[:ROWS_SHOWN],
        moved_count=len(moved),
        still=Counter(one.outcome for one in found.rows if one not in moved),
    )


def headline(found: RunDiff) -> str:
    """The outcome in a sentence.

    Examples
    --------
    >>> headline(RunDiff("a", "b", True, "The cohorts differ.", (), (), (), (), (), (), 0))
    'The cohorts differ.'
    """
    if found.comparable:
        return found.comparable
    counts = Counter(one.outcome for one in found.endpoints)
    words = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    total = len(found.endpoints)
    verdict = f"{found.regressions} of {total} primary endpoints regressed or were lost"
    if not found.regressions:
        verdict = f"None of {total} primary endpoints regressed"
    return f"{verdict} ({words})." if words else f"{verdict}."


def _change(one: MetricChange) -> str:
    if one.difference is None:
        return "\N{EN DASH}"
    return interval(one.difference.estimate, digits(one.difference.estimate, 3), signed=True)


def _value(one: MetricChange, side: str) -> str:
    estimate = one.before if side == "before" else one.after
    if estimate is None:
        return "\N{EN DASH}"
    decimals = digits(estimate, 2)
    return number(estimate.value, decimals)
