"""Help texts keep the lines of their examples, and show no marker of how they are written."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from harness.cli import COMMANDS, cli


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_no_marker(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "\\b" not in result.output
    assert "\b" not in result.output


def test_an_example_stands_on_a_line_of_its_own() -> None:
    lines = CliRunner().invoke(cli, ["diff", "--help"]).output.splitlines()
    assert "    harness diff runs/released runs/candidate" in lines
