"""`harness new` writes what works, and overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from registry.catalog import Catalogue
from tests.harness.digits_run import PLUGIN, environment, harness


@pytest.mark.parametrize("kind", ["strategy", "task"])
def test_what_is_written_can_be_named_planned_and_checked(tmp_path: Path, kind: str) -> None:
    done = harness("new", kind, "my_own", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_own.py", "test_my_own.py"]
    catalogue = Catalogue.load([str(tmp_path / "my_own.py")])
    card = (catalogue.strategy("my_own") if kind == "strategy" else catalogue.task("my_own")).card
    assert (card.name, card.title, card.domain) == ("my_own", "My own", "dxa")
    for text in (path.read_text() for path in tmp_path.glob("*.py")):
        assert "$" not in text
    arms = (
        "my_own" if kind == "strategy" else "random_init",
        "my_own" if kind == "task" else "anthropometry",
    )
    where = ("--output", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"))
    planned = harness(
        *("plan", "--suite", "smoke", "--strategies", arms[0], "--tasks", arms[1]),
        *("--plugin", str(tmp_path / "my_own.py"), *where),
    )
    assert planned.returncode == 0, planned.stderr
    assert "my_own" in planned.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["strategy", "task"])
def test_the_test_that_is_written_passes(tmp_path: Path, kind: str) -> None:
    assert harness("new", kind, "my_own", "--folder", str(tmp_path)).returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_my_own.py")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("present", ["mine.py", "test_mine.py"])
def test_nothing_is_overwritten(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("precious")
    done = harness("new", "strategy", "mine", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert f"{tmp_path / present} exists already" in done.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {present: "precious"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["strategy", "../../x"], "cannot name a file"),
        (["strategy", "<script>"], "cannot name a file"),
        (["strategy", "Mine"], "cannot name a file"),
        (["task", "class"], "cannot name a file"),
        (["strategy", "dxa_vae"], "strategy 'dxa_vae' exists already, from built-in"),
        (["task", "anthropometry"], "task 'anthropometry' exists already"),
        (["strategy", "mine", "--domain", "dxaa"], "did you mean 'dxa'?"),
        (
            ["strategy", "mine", "--domain", "digits", "--plugin", str(PLUGIN)],
            "has no template of a strategy",
        ),
        (["suite", "mine"], "'suite' is not one of"),
    ],
)
def test_a_wrong_request_exits_with_2_and_writes_nothing(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = harness("new", *arguments, "--folder", str(tmp_path))
    assert done.returncode == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []
