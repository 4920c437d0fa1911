"""Every field of a suite file as a page in Markdown, in the code's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from harness.suite.inheritance import Inheritance
from harness.suite.schema import documented, tables_of
from harness.suite.suite import Suite
from harness.suite.toml import toml_value


def field_reference() -> str:
    """Every table and field of a suite file in Markdown, in the code's own words."""
    sections = [_section(Suite, ""), f"### Extending another suite\n{_section(Inheritance, '')}"]
    sections += [_section(table, name) for name, table in tables_of(Suite).items() if name != "Suite"]
    return "\n".join(sections)


def _section(table: type[BaseModel], name: str) -> str:
    summary, texts = documented(table)
    heading = _HEADING.match(summary)
    title, words = (heading[1], heading[2]) if heading and name else ("", summary)
    lines = [f"### {title}\n{words[:1].upper()}{words[1:]}" if title else words]
    lines += ["", "| key | value | default | meaning |", "|---|---|---|---|"]
    for key, information in table.model_fields.items():
        shown = information.alias or key
        given = information.get_default(call_default_factory=True)
        default = "required" if information.is_required() else _default(given)
        lines.append(f"| `{shown}` | {_kind(table, shown)} | {default} | {_cell(texts[shown])} |")
    return "\n".join(lines) + "\n"


_KINDS = {
    "object": "table",
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "truth value",
}
#: ``[table]`: what it says.`
_HEADING = re.compile(r"(`\[[^:]*`): (.*)")


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "see there"
    if value is None or value in ("", (), {}):
        return ""
    return f"`{toml_value(value)}`"


def _kind(table: type[BaseModel], key: str) -> str:
    """What a field may hold, from its schema."""
    schema = table.model_json_schema(by_alias=True)
    return _cell(_words(schema["properties"][key], schema.get("$defs", {})))


def _words(entry: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in entry:
        return "table"
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return ", ".join(f"`{one}`" for one in entry["enum"])
    if "anyOf" in entry:
        kinds = [_words(one, definitions) for one in entry["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if entry.get("type") == "array":
        inner = _words(entry["items"], definitions) if "items" in entry else "value"
        return f"list: {inner}"
    return _KINDS.get(str(entry.get("type")), "anything") + _limits(entry)


def _limits(entry: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {entry[name]:.10g}" for name, sign in signs.items() if name in entry]
    return f" {', '.join(limits)}" if limits else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
