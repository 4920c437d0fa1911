"""The format of suite files as JSON schema, every field described in the code's own words."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel

from harness.suite import Suite
from harness.table import tables_within

#: A numpydoc entry: names at the margin, then its indented text.
_ENTRY = re.compile(r"^(\w+(?:, \w+)*)\n((?: {4}.*\n?)+)", re.MULTILINE)


def suite_schema() -> dict[str, Any]:
    """The JSON schema of a suite file; `[cohort]` and `[settings]` are the domain's and stay open."""
    schema = Suite.model_json_schema(by_alias=True)
    for name, table in _tables(Suite).items():
        described = schema if name == "Suite" else schema["$defs"][name]
        summary, texts = _documented(table)
        described["description"] = summary
        for key, entry in described["properties"].items():
            entry["description"] = texts[key]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "suite.schema.json",
        **schema,
        "title": "A suite of harness",
    }


def _tables(table: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """A table and all tables within it, by name."""
    found = {table.__name__: table}
    for information in table.model_fields.values():
        for inner in tables_within(information.annotation):
            found |= _tables(inner)
    return found


def _documented(table: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """The first line of a table's docstring, and what it says about each field."""
    text = inspect.cleandoc(table.__doc__ or "")
    summary, _, attributes = text.partition("Attributes\n----------\n")
    fields = {
        name: " ".join(words.split())
        for names, words in _ENTRY.findall(attributes)
        for name in names.split(", ")
    }
    return summary.strip().splitlines()[0], fields
