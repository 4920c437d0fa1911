"""The report as Markdown: for a pull request, an issue, a laboratory notebook."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.answer import Answer, digits, interval, p_words
from reports.comparison import WITH_UNIT, Comparison, Line, StatisticTable, Table
from reports.contents import Contents
from reports.sample import readable

#: Characters that Markdown or the HTML in it would read.
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
#: Above everything that comes from simulated data.
SIMULATED = "> **SIMULATED DATA.** No number here is a finding about patients."


def plain(text: str) -> str:
    r"""Text that Markdown prints as it stands, in one line.

    Examples
    --------
    >>> print(plain("a|b_<i>"))
    a\|b\_\<i\>
    """
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown(contents: Contents) -> str:
    """Answer, warnings, tables and paired differences; the page shows more."""
    return "\n".join(_lines(contents)) + "\n"


def _lines(contents: Contents) -> Iterator[str]:
    run = contents.run
    yield f"# {plain(run.meta['suite']['title'])}"
    if run.simulated:
        yield f"\n{SIMULATED}"
    yield f"\n{extent(contents)}"
    yield "\n## Answer"
    for one in contents.answers:
        yield from answer_lines(one)
    yield from control_lines(contents, "###")
    if contents.warnings:
        yield "\n### Read with care\n"
        yield from (f"- {plain(warning)}" for warning in contents.warnings)
    for comparison in contents.comparisons:
        yield f"\n## {heading(comparison)}"
        yield from table_lines(comparison, run.simulated)


def extent(contents: Contents) -> str:
    """How much ran, on what, and what claims are about."""
    status = contents.run.meta["status"]
    total = sum(status[name] for name in ("done", "failed", "blocked", "missing"))
    return (
        f"Trials {status['done']}/{total}; claims about {_claims(contents)};"
        f" cohort `{contents.run.meta['cohort']['fingerprint'][:10]}`."
    )


def heading(comparison: Comparison) -> str:
    """A task and the protocols that it stands for."""
    return f"{plain(comparison.title)}, {' = '.join(comparison.protocols)}"


def answer_lines(one: Answer) -> Iterator[str]:
    """The answer of a comparison."""
    yield f"\n**{plain(one.title)}, {' = '.join(one.protocols)}.** {plain(one.headline)}"
    yield from (plain(sentence) for sentence in one.sentences)


def control_lines(contents: Contents, level: str) -> Iterator[str]:
    """What is known beforehand, and whether it came out; nothing where a suite has no controls."""
    if contents.analyses.controls:
        yield f"\n{level} Controls\n"
        for one in contents.analyses.controls:
            place = f"{one.title}, {' = '.join(one.protocols)}, {contents.title(one.column)}"
            yield f"- {plain(place)}: {plain(one.sentence)}"


def table_lines(comparison: Comparison, simulated: bool) -> Iterator[str]:
    """Every table of a comparison, each with its paired differences."""
    for table in comparison.tables:
        for statistic in table.statistics:
            yield from _table(comparison, table, statistic, simulated)
            yield from _differences(comparison, statistic)


def _claims(contents: Contents) -> str:
    return "procedures" if contents.run.meta["claims"] == "procedure" else "artifacts"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(comparison: Comparison, table: Table, statistic: StatisticTable, simulated: bool) -> Iterator[str]:
    mark = " (simulated data)" if simulated else ""
    yield f"\n### {plain(table.title)}: {plain(statistic.label)}{mark}"
    yield f"\nMean over seeds with 95 % interval; published values in italics. {plain(table.convention)}\n"
    columns = comparison.shown_in(table)
    heads = [plain(column.title) + (" (baseline)" if column.baseline else "") for column in columns]
    heads += [f"*{plain(readable(arm))}* (published)" for arm in statistic.published_only]
    yield _row(["", *heads, "n"])
    yield _row(["---", *("---:" for _ in heads), "---:"])
    notes = []
    for line in statistic.lines:
        cells = [
            f"{_cell(line, column.key, column.missing)} {_printed(line.published.get(column.key))}".rstrip()
            for column in columns
        ]
        cells += [_printed(line.published_elsewhere.get(arm)) for arm in statistic.published_only]
        for published in (*line.published.values(), *line.published_elsewhere.values()):
            if published["note"]:
                notes.append(f"- † {plain(line.label)}: {plain(published['note'])}")
        unit = f" ({plain(line.unit)})" if line.unit and statistic.name in WITH_UNIT else ""
        yield _row([plain(line.label) + unit, *cells, str(line.patients)])
    yield from ["", *dict.fromkeys(notes)]


def _printed(published: Mapping[str, Any] | None) -> str:
    return f"*{published['value']}*" + ("†" if published["note"] else "") if published else ""


def _cell(line: Line, key: str, missing: str) -> str:
    cell = line.cells[key]
    if cell is None:
        return plain(missing.split(":", maxsplit=1)[0]) if missing else "n/a"
    return plain(interval(cell, line.decimals))


def _differences(comparison: Comparison, statistic: StatisticTable) -> Iterator[str]:
    shown = [one for one in statistic.contrasts if one.kind == "reference"]
    if not shown:
        return
    titles = {column.key: plain(column.title) for column in comparison.columns}
    yield "\nPaired differences to the reference arm.\n"
    yield _row(["", *(f"{titles[one.first]} minus {titles[one.second]}" for one in shown)])
    yield _row(["---", *("---:" for _ in shown)])
    for index, line in enumerate(statistic.lines):
        cells = []
        for contrast in shown:
            found = contrast.differences[index]
            if found is None:
                cells.append("n/a")
                continue
            effect = interval(found.estimate, digits(found.estimate, line.decimals + 1), signed=True)
            corrected = f", {plain(p_words(found.p_adjusted))}" if found.p_adjusted is not None else ""
            cells.append(f"{plain(effect)}{corrected}, {found.verdict}")
        yield _row([plain(line.label), *cells])
