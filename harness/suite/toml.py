"""Tables as TOML: what `tomllib` reads, written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(table: Mapping[str, Any]) -> str:
    """The text of `table`; its tables become `[sections]`, lists of tables `[[sections]]`.

    Tables inside those stay on one line.

    Raises
    ------
    TypeError
        If it holds something that TOML has no word for, as `None`.

    Examples
    --------
    >>> print(to_toml({"name": "mine", "seeds": {"final": (0, 1)}}), end="")
    name = "mine"
    <BLANKLINE>
    [seeds]
    final = [0, 1]
    """
    sections = {key: value for key, value in table.items() if _is_section(value)}
    lines = _lines({key: value for key, value in table.items() if key not in sections})
    for key, value in sections.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{_key(key)}]", *_lines(value)]
        else:
            for inner in value:
                lines += ["", f"[[{_key(key)}]]", *_lines(inner)]
    return "\n".join(lines) + "\n"


def _is_section(value: Any) -> bool:
    several = isinstance(value, list | tuple) and bool(value)
    return isinstance(value, Mapping) or (several and all(isinstance(inner, Mapping) for inner in value))


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {toml_value(value)}" for key, value in table.items()]


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def toml_value(value: Any) -> str:
    """A value on one line.

    Examples
    --------
    >>> toml_value({"train": 480, "names": ["a"]})
    '{ train = 480, names = ["a"] }'
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_lines(value)) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"{type(value).__name__} {value!r} cannot be written as TOML")


def _text(text: str) -> str:
    """A basic string; JSON escapes the same characters, and TOML one more."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
