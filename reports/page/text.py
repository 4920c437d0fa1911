"""Text of the page: how records read, and the environment in which templates are filled."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.ablations import Ablations, Effect
from reports.answer import digits, interval, number, p_words
from reports.pairs import SEED_WORDS
from reports.sample import readable
from reports.statistics.ranking import advice
from reports.svg import symbol
from reports.tuning import settings


def environment() -> Environment:
    """Templates with autoescape; a name that does not exist is an error."""
    made = Environment(
        loader=PackageLoader("reports.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "advice": lambda variance, kind: advice(variance, SEED_WORDS[kind]),
        "digits": digits,
        "effects": effects,
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
        "titled": titled,
    }
    return made


def asset(name: str) -> str:
    """The style sheet or the script of the page."""
    return (importlib.resources.files("reports.page") / "assets" / name).read_text(encoding="utf-8")


def titled(things: Sequence[Any], key: str) -> str:
    """The title of the one with this key; a thing names its column as `column` or is one with a `key`."""
    return str(next(one.title for one in things if (getattr(one, "column", None) or one.key) == key))


def effects(study: Ablations) -> list[tuple[str, Sequence[Effect]]]:
    """Every effect of a study under its heading."""
    found: list[tuple[str, Sequence[Effect]]] = [
        ("Arms that declare it as their parent", study.children),
        ("Leave one out", study.removals),
        *((f"Ladder: {', then '.join(one.order)}", one.steps) for one in study.ladders),
        *((f"Mean over {one.orders} orders", one.effects) for one in study.order_means),
        ("Factorial", study.factorial.effects if study.factorial else ()),
        *((f"Trend of {one.factor}", (one.trend,)) for one in study.doses),
    ]
    return [(words, own) for words, own in found if own]


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


def marker(style: tuple[str, str]) -> Markup:
    """The colour and marker of an arm, for headings and legends."""
    drawn = symbol(style[1], 7, 7, style[0])
    return Markup(  # noqa: S704  numbers and constants of ours
        f'<svg class="marker" width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">{drawn}</svg>'
    )
