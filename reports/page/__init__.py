"""The page: one self-contained HTML file from the computed tables, figures and records."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import polars as pl
from markupsafe import Markup

from reports.analyses import NEEDS
from reports.comparison import WITH_UNIT, Comparison
from reports.contents import Block, Contents
from reports.export import agreement_file, differences_csv, table_name, values_csv
from reports.frame import Run
from reports.latex import table_latex
from reports.page.pieces import FEWER_TRIALS, LIMIT, PIECES, Piece
from reports.page.text import asset, environment, flat

#: A run with more trials than this lists the first ones and names the file that holds all.
TRIALS_SHOWN = 2_000

#: Files beyond this many characters are named, but not carried, so that the page stays below 8 MB.
DOWNLOADS = 2_000_000


def render(contents: Contents, limit: int = LIMIT) -> str:
    """Render the page, without as many of its `PIECES` as a size of `limit` bytes asks for.

    All text from records passes through autoescape; the page loads nothing, and its policy forbids it to.
    The page says what it leaves out, and where it is too large without all that as well.
    """
    dropped: tuple[Piece, ...] = ()
    page = _rendered(contents, dropped, limit)
    for piece in PIECES:
        if len(page.encode()) <= limit:
            return page
        smaller = _rendered(contents, (*dropped, piece), limit)
        if len(smaller) < len(page):
            dropped, page = (*dropped, piece), smaller
    return page if len(page.encode()) <= limit else _rendered(contents, dropped, limit, too_large=True)


def _rendered(contents: Contents, dropped: Sequence[Piece], limit: int, *, too_large: bool = False) -> str:
    run = contents.run
    gone = {piece.key: piece for piece in dropped}
    trials = _shown_trials(run, FEWER_TRIALS if "trials" in gone else TRIALS_SHOWN)
    templates = environment()
    body = templates.get_template("body.html.j2").render(
        contents=contents,
        run=run,
        meta=run.meta,
        blocks=contents.blocks,
        needs=NEEDS,
        with_unit=WITH_UNIT,
        margins=contents.margins,
        dropped=gone,
        limit=limit,
        too_large=too_large,
        downloads=_downloads(contents, 0 if "files" in gone else DOWNLOADS),
        trials=trials,
        shown_trials={trial["key"] for trial in trials},
        trial_count=len(run.trials),
        provenance=flat(run.meta["provenance"]),
        draws=contents.draws,
    )
    script = asset("report.js")
    return templates.get_template("page.html.j2").render(
        title=run.meta["suite"]["title"],
        simulated=run.simulated,
        policy=policy(script),
        style=Markup(asset("report.css")),  # noqa: S704  our own file
        body=Markup(body),  # noqa: S704  rendered with autoescape above
        script=Markup(script),  # noqa: S704  our own file
    )


def _shown_trials(run: Run, most: int) -> list[dict[str, Any]]:
    """All trials, or the first ones of a large run, those that went wrong before the others."""
    if len(run.trials) <= most:
        return run.trials.to_dicts()
    wrong = pl.col("status") != "done"
    return pl.concat([run.trials.filter(wrong), run.trials.filter(~wrong)]).head(most).to_dicts()


def policy(*scripts: str) -> str:
    """Content security policy that lets these inline scripts run, by hash, and nothing be fetched."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:;"
        " connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _downloads(contents: Contents, room: int) -> list[tuple[Block, list[dict[str, str]]]]:
    """The files of every block as links that carry them, up to `room` characters."""
    found = []
    for block in contents.blocks:
        files = []
        for file in _files(contents.run, block.data):
            room -= len(file["uri"])
            files.append(file if room >= 0 else {**file, "uri": ""})
        found.append((block, files))
    return found


def _files(run: Run, comparison: Comparison) -> list[dict[str, str]]:
    files = []
    for table in comparison.tables:
        name = table_name(comparison, table)
        for suffix, words, text in (
            (".csv", "values (CSV)", values_csv(run, comparison, table)),
            ("-differences.csv", "differences (CSV)", differences_csv(run, comparison, table)),
            *agreement_file(run, comparison, table),
            (".tex", "LaTeX", table_latex(run, comparison, table)),
        ):
            kind = "text/x-tex" if suffix == ".tex" else "text/csv"
            uri = f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
            files.append({"table": table.title, "name": name + suffix, "words": words, "uri": uri})
    return files
