"""The page: one self-contained HTML file from the computed tables, figures and records."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.analyses import Analyses
from reports.answer import Answer, digits, interval, number, p_words
from reports.comparison import Comparison
from reports.curves import pretraining_curves
from reports.export import agreement_file, differences_csv, table_latex, table_name, values_csv
from reports.figures import (
    Figure,
    agreement_panels,
    arm_styles,
    draws_figure,
    endpoint_figure,
    forest_figures,
    styles,
)
from reports.frame import Run
from reports.pairs import SEED_WORDS
from reports.pictures import BUDGET, exhibits
from reports.ranking import advice
from reports.sample import readable
from reports.svg import symbol
from reports.tuning import costs, tuning

#: A run with more trials than this lists the first ones and names the file that holds all.
TRIALS_SHOWN = 2_000


def render(
    run: Run,
    comparisons: Sequence[Comparison],
    answers: Sequence[Answer],
    warnings: Sequence[str],
    analyses: Analyses,
    *,
    draws: int,
) -> str:
    """Render the page.

    All text from records passes through autoescape; the page loads nothing, and its policy forbids it to.
    """
    figures: dict[str, Figure] = {}

    def keep(figure: Figure | None) -> Figure | None:
        if figure is not None:
            figures[figure.key] = figure
        return figure

    arms = arm_styles(run.arms)
    tuned = tuning(run, comparisons)
    budget = BUDGET // max(1, len(comparisons))
    environment = _environment()
    body = environment.get_template("body.html.j2").render(
        run=run,
        meta=run.meta,
        comparisons=[
            {
                "data": one,
                "answer": answer,
                "styles": styles(one.columns),
                "endpoint": keep(endpoint_figure(one)),
                "forests": {
                    (table.key, statistic.name): [
                        keep(figure) for figure in forest_figures(one, table.key, statistic)
                    ]
                    for table in one.tables
                    for statistic in table.statistics
                },
                "agreement": {
                    (table.key, arm.column): agreement_panels(
                        arm, table.statistics[0].lines, styles(one.columns)[arm.column]
                    )
                    for table in one.tables
                    for arm in table.agreement
                },
                "exhibits": exhibits(run, one, budget),
                "downloads": _downloads(run, one),
            }
            for one, answer in zip(comparisons, answers, strict=True)
        ],
        warnings=warnings,
        analyses=analyses,
        arm_styles=arms,
        curves=pretraining_curves(run, arms),
        tuning=[(one, keep(draws_figure(one, arms))) for one in tuned],
        costs=costs(run),
        trials=run.trials.head(TRIALS_SHOWN).to_dicts(),
        trial_count=len(run.trials),
        provenance=flat(run.meta["provenance"]),
        draws=draws,
    )
    library = plotly_source()
    script = _asset("report.js")
    return environment.get_template("page.html.j2").render(
        title=run.meta["suite"]["title"],
        simulated=run.simulated,
        policy=policy(library, script),
        style=Markup(_asset("report.css")),  # noqa: S704  our own file
        body=Markup(body),  # noqa: S704  rendered with autoescape above
        figures=island({key: figure.data for key, figure in figures.items()}),
        library=Markup(library),  # noqa: S704  plotly's own file, without a closing script tag
        script=Markup(script),  # noqa: S704  our own file
    )


def policy(*scripts: str) -> str:
    """Content security policy that lets these inline scripts run, by hash, and nothing be fetched."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def island(value: Any) -> Markup:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704  no character is left that HTML reads


def plotly_source() -> str:
    """plotly.js as its Python package carries it."""
    source = (importlib.resources.files("plotly") / "package_data" / "plotly.min.js").read_text(
        encoding="utf-8"
    )
    if "</script" in source.lower():
        raise RuntimeError("plotly.js holds a closing script tag and cannot be inlined; pin another plotly")
    return source


def flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Nested records as (name, text) pairs.

    Examples
    --------
    >>> flat({"a": {"b": 1}, "c": ["x", "y"]})
    [('a · b', '1'), ('c', 'x; y')]
    """
    if isinstance(value, Mapping):
        return [
            pair
            for key, inner in value.items()
            for pair in flat(inner, f"{path} · {key}" if path else str(key))
        ]
    text = "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return [(path, tidy(text))]


def tidy(text: str) -> str:
    """Text without the name of anybody's home folder."""
    return re.sub(r"(/home/[^/\s:'\"]+|/Users/[^/\s:'\"]+|/root)(?=/|\b)", "~", text)


def seconds(value: float | None) -> str:
    """A duration that reads well: `48 s`, `12 min`, `3.2 h`.

    Examples
    --------
    >>> seconds(720.0)
    '12 min'
    """
    if value is None:
        return "\N{EN DASH}"
    if value < 120:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def short(value: float) -> str:
    """A number with at most four significant digits."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def settings(value: Any) -> str:
    """Hyperparameters in one line; numbers with four significant digits."""
    chosen = json.loads(value or "{}") if isinstance(value, str) else value
    return ", ".join(
        f"{key} = {f'{one:.4g}' if isinstance(one, float) else one}" for key, one in chosen.items()
    )


def marker(style: tuple[str, str]) -> Markup:
    """The colour and marker of an arm, for headings and legends."""
    drawn = symbol(style[1], 7, 7, style[0])
    return Markup(  # noqa: S704  numbers and constants of ours
        f'<svg class="marker" width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">{drawn}</svg>'
    )


def _downloads(run: Run, comparison: Comparison) -> list[dict[str, str]]:
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


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "advice": lambda variance, kind: advice(variance, SEED_WORDS[kind]),
        "digits": digits,
        "interval": interval,
        "number": number,
        "readable": readable,
        "p_words": p_words,
        "seconds": seconds,
        "short": short,
        "settings": settings,
        "tidy": tidy,
        "marker": marker,
        "svg": Markup,
    }
    return environment


def _asset(name: str) -> str:
    return (importlib.resources.files("reports.page") / "assets" / name).read_text(encoding="utf-8")
