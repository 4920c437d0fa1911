"""Suites as files: shown whole, checked without data, their format published and described."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.suite import load_suite
from harness.suite.schema import suite_schema
from harness.suite.toml import to_toml
from registry.catalog import suite_files
from tests.harness.digits_run import PLUGIN, ROOT, SUITE, harness

SCALARS = (
    st.text(st.characters(codec="utf-8"))
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5))
def test_what_is_written_as_toml_is_read_back(table: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(table)) == table


def test_what_toml_has_no_word_for_is_refused() -> None:
    with pytest.raises(TypeError, match="NoneType None cannot be written as TOML"):
        to_toml({"a": None})


@pytest.mark.parametrize("name", [*suite_files(), str(SUITE)])
def test_a_shown_suite_is_the_suite(name: str, tmp_path: Path) -> None:
    done = harness("suite", "show", name)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "shown.toml"
    file.write_text(done.stdout)
    assert load_suite(str(file)) == load_suite(name)


@pytest.mark.parametrize("name", suite_files())
def test_shipped_suites_are_valid(name: str) -> None:
    done = harness("suite", "validate", name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: ")


def test_validation_names_cells_that_do_not_apply_and_needs_the_plug_in() -> None:
    done = harness("suite", "validate", str(SUITE), "--plugin", str(PLUGIN))
    assert done.stdout == (
        "digits: 6 cells, 1 of them N/A\n"
        "  N/A random_projection / redrawing: Random projection has no generator\n"
    )
    assert harness("suite", "validate", str(SUITE)).returncode == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"random_projection"]', '"random_projektion"]', "did you mean 'random_projection'?"),
        ("features = 12", "featurs = 12", "did you mean 'features'?"),
        ("patients = 60", "patiens = 60", "did you mean 'patients'?"),
        ("draws = 3", 'draws = "3"', "budget.draws = '3'"),
    ],
)
def test_validation_finds_what_is_wrong_at_every_depth(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    text = SUITE.read_text()
    assert old in text
    file = tmp_path / "wrong.toml"
    file.write_text(text.replace(old, new))
    done = harness("suite", "validate", str(file), "--plugin", str(PLUGIN))
    assert done.returncode == 2
    assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]


def test_the_example_in_the_docs_is_valid(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "suites.md").read_text(), re.DOTALL)
    assert example
    file = tmp_path / "mine.toml"
    file.write_text(example[1])
    done = harness("suite", "validate", str(file))
    assert done.returncode == 0, done.stderr


def test_the_published_schema_is_the_code_s() -> None:
    published = json.loads((ROOT / "docs" / "suite.schema.json").read_text())
    assert published == suite_schema(), "harness suite schema > docs/suite.schema.json"
    assert json.loads(harness("suite", "schema").stdout) == published


def test_the_schema_takes_what_the_code_takes_and_refuses_what_it_refuses() -> None:
    validator = jsonschema.Draft202012Validator(suite_schema())
    validator.check_schema(validator.schema)
    for file in [*suite_files().values(), SUITE]:
        assert list(validator.iter_errors(tomllib.loads(file.read_text()))) == []
    table = tomllib.loads(SUITE.read_text())
    for wrong in (
        {"budgett": 3},
        {"schema": 2},
        {"name": "../x"},
        {"strategies": []},
        {"budget": {"draws": 0}},
        {"seeds": {"final": [-1]}},
        {"resources": {"gpu": 1}},
    ):
        assert list(validator.iter_errors({**table, **wrong})), wrong
    assert list(validator.iter_errors({key: table[key] for key in table if key != "domain"}))


def test_every_field_is_described() -> None:
    schema = suite_schema()
    for table in (schema, *schema["$defs"].values()):
        for name, field in table["properties"].items():
            assert field["description"].endswith("."), name


def test_the_field_reference_in_the_docs_is_the_code_s() -> None:
    page = (ROOT / "docs" / "suites.md").read_text()
    published = page.partition("<!-- fields -->\n")[2].partition("<!-- /fields -->")[0]
    assert published == harness("suite", "fields").stdout, "harness suite fields, between the two marks"


def test_every_example_in_the_docs_is_valid(tmp_path: Path) -> None:
    """Those that are whole files, and those that add to one."""
    examples = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "suites.md").read_text(), re.DOTALL)
    assert len(examples) >= 3
    for number, example in enumerate(examples):
        head = "" if "schema = 1" in example else 'schema = 1\nname = "x"\nextends = "quick"\n'
        file = tmp_path / f"example{number}.toml"
        file.write_text(head + example)
        done = harness("suite", "validate", str(file))
        assert done.returncode == 0, done.stderr
