"""The format of suite files as JSON schema, every field described in the code's own words."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel

from harness.suite.inheritance import OWN, Inheritance
from harness.suite.suite import Suite
from harness.table import tables_within

#: A numpydoc entry: names at the margin, then its indented text.
_ENTRY = re.compile(r"^(\w+(?:, \w+)*)\n((?: {4}.*\n?)+)", re.MULTILINE)


def suite_schema() -> dict[str, Any]:
    """The JSON schema of a suite file; `[cohort]` and `[settings]` are the domain's and stay open."""
    schema = Suite.model_json_schema(by_alias=True)
    for name, table in tables_of(Suite).items():
        described = schema if name == "Suite" else schema["$defs"][name]
        summary, texts = documented(table)
        described["description"] = summary
        for key, entry in described["properties"].items():
            entry["description"] = texts[key]
    links = Inheritance.model_json_schema()["properties"]
    _, texts = documented(Inheritance)
    schema["properties"] |= {key: entry | {"description": texts[key]} for key, entry in links.items()}
    inherited = [key for key in schema["required"] if key not in OWN]
    schema["required"] = [key for key in schema["required"] if key in OWN]
    schema["anyOf"] = [{"required": inherited}, {"required": ["extends"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "suite.schema.json",
        **schema,
        "title": "A suite of harness",
    }


def tables_of(table: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """A table and all tables within it, by name."""
    found = {table.__name__: table}
    for information in table.model_fields.values():
        for inner in tables_within(information.annotation):
            found |= tables_of(inner)
    return found


def documented(table: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """The first line of a table's docstring, and what it says about each field."""
    text = inspect.cleandoc(table.__doc__ or "")
    summary, _, attributes = text.partition("Attributes\n----------\n")
    fields = {
        name: " ".join(words.split())
        for names, words in _ENTRY.findall(attributes)
        for name in names.split(", ")
    }
    return summary.strip().splitlines()[0], fields
