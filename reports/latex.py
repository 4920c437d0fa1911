r"""Tables for LaTeX: fragments with the rules of booktabs, and a document that reads them all.

The document compiles as it is with pdfLaTeX, `booktabs` and `geometry`, which every distribution carries.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from reports.answer import number
from reports.comparison import WITH_UNIT, Column, Comparison, Line, StatisticTable, Table
from reports.frame import Run
from reports.sample import readable

#: Characters that mean something to LaTeX, and others that its fonts lack, as it writes them.
SPECIAL: Mapping[str, str] = {
    **{char: "\\" + char for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"''",
    "\N{MINUS SIGN}": r"$-$",
    "\N{SUPERSCRIPT TWO}": r"$^2$",
    "\N{SUPERSCRIPT THREE}": r"$^3$",
    "\N{SUBSCRIPT TWO}": r"$_2$",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\le$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\ge$",
    "\N{GREEK SMALL LETTER LAMDA}": r"$\lambda$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    "\N{GREEK SMALL LETTER MU}": r"$\mu$",
    "\N{MICRO SIGN}": r"$\mu$",
    "\N{DAGGER}": r"\dag{}",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
}

#: Beyond Latin-1 the default fonts of pdfLaTeX have no letters: such a character is written as its number.
LAST_LETTER = 0xFF


def latex(text: str) -> str:
    r"""Text that LaTeX prints as it stands: special characters escaped, no command survives.

    Examples
    --------
    >>> print(latex("50 % of a_b"))
    50 \% of a\_b
    >>> print(latex("\u4e2d"))
    [U+4E2D]
    """
    return "".join(_character(char) for char in unicodedata.normalize("NFC", text))


def _character(char: str) -> str:
    if char in SPECIAL:
        return SPECIAL[char]
    if unicodedata.category(char).startswith("C"):
        return " "
    return char if ord(char) <= LAST_LETTER else f"[U+{ord(char):04X}]"


def table_latex(run: Run, comparison: Comparison, table: Table) -> str:
    """One table per statistic."""
    return "\n".join(_latex(run, comparison, table, statistic) for statistic in table.statistics)


def document(run: Run, names: Sequence[str]) -> str:
    """A document of all tables; `names` of their files without suffix, in `tables/`."""
    mark = r"\textbf{SIMULATED DATA.} No number here is a finding about patients." if run.simulated else ""
    lines = [
        r"\documentclass{article}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage[T1]{fontenc}",
        r"\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}",
        r"\usepackage{booktabs}",
        r"\usepackage[a4paper,landscape,margin=15mm]{geometry}",
        rf"\title{{{latex(run.meta['suite']['title'])}}}",
        r"\date{}",
        r"\begin{document}",
        r"\maketitle",
        mark,
        *(line for name in names for line in (rf"\input{{tables/{name}.tex}}", r"\clearpage")),
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def _latex(run: Run, comparison: Comparison, table: Table, statistic: StatisticTable) -> str:
    columns = comparison.shown_in(table)
    heads = [latex(column.title) + _seeds(column) for column in columns]
    heads += [rf"\textit{{{latex(readable(arm))}}}" for arm in statistic.published_only]
    body: list[str] = []
    notes: dict[str, str] = {}
    for index, one in enumerate(statistic.lines):
        if one.group and (index == 0 or statistic.lines[index - 1].group != one.group):
            body += [r"\midrule"] if index else []
            body.append(rf"\multicolumn{{{len(heads) + 2}}}{{l}}{{\textit{{{latex(one.group)}}}}} \\")
        cells = [_cell(one, column, notes) for column in columns]
        cells += [
            _printed(one, arm, one.published_elsewhere.get(arm), notes) for arm in statistic.published_only
        ]
        unit = f" ({latex(one.unit)})" if one.unit and statistic.name in WITH_UNIT else ""
        body.append(" & ".join([latex(one.label) + unit, *cells, str(one.patients)]) + r" \\")
    published = any(one.published or one.published_elsewhere for one in statistic.lines)
    sentences = [
        "SIMULATED DATA." if run.simulated else "",
        f"{latex(comparison.title)}, {latex(table.title)}: {latex(statistic.label)}, mean over seeds with"
        rf" 95\,\% intervals ({' and '.join(comparison.protocols)} hyperparameters; $n$ patients).",
        latex(table.convention),
        f"In italics: published values, {latex(table.published_source)}." if published else "",
        *(rf"\dag{{}} {label}: {note}." for label, note in notes.items()),
    ]
    lines = [
        r"\begin{table}[p]",
        r"\centering\footnotesize",
        rf"\caption{{{' '.join(filter(None, sentences))}}}",
        rf"\begin{{tabular}}{{l{'c' * len(heads)}r}}",
        r"\toprule",
        " & ".join(["", *heads, "$n$"]) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _seeds(column: Column) -> str:
    if column.unit == "none":
        return ""
    return rf" ($S={column.units}$)"


def _cell(one: Line, column: Column, notes: dict[str, str]) -> str:
    found: Any = one.cells[column.key]
    if found is None:
        text = latex(column.missing.split(":")[0]) if column.missing else "n/a"
    elif found.value is None:
        text = "undefined"
    else:
        value, low, high = (
            number(part, one.decimals).replace("\N{MINUS SIGN}", "-")
            for part in (found.value, found.low, found.high)
        )
        text = f"${value}$ [${low}$, ${high}$]" if found.low is not None else f"${value}$ (no interval)"
    return f"{text} {_printed(one, column.title, one.published.get(column.key), notes)}".rstrip()


def _printed(one: Line, arm: str, published: Mapping[str, Any] | None, notes: dict[str, str]) -> str:
    if not published:
        return ""
    if published["note"]:
        notes[latex(f"{one.label}, {arm}")] = latex(published["note"])
    return rf"\textit{{{latex(str(published['value']))}}}" + (r"\dag{}" if published["note"] else "")
