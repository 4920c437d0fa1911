"""The tutorial does what it says, as written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars
import pytest

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial-strategy.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


class Reader:
    """Someone who types what the page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        commands = folder / "bin"
        commands.mkdir()
        (commands / "harness").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n')
        (commands / "harness").chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HARNESS_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "160",
        }
        self.output = ""
        self.started: list[list[str]] = []

    def follow(self, language: str, title: str, text: str) -> None:
        if title:
            self._file(title, text)
        elif language == "sh":
            self._type("sh", "-e", "-c", text)
            if "run-all" in text:
                self.started.append(self._started())
        else:
            self._type(sys.executable, "-c", text)

    def _file(self, name: str, text: str) -> None:
        """A file that the page shows: it is there already, word for word, or it is written."""
        path = self.folder / name.removesuffix(" (added)")
        if name.endswith(" (added)"):
            text = f"{path.read_text()}\n\n{text}"
        elif path.exists():
            assert path.read_text() == text
        path.write_text(text)

    def _type(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.output += done.stdout

    def _started(self) -> list[str]:
        journal = self.folder / "runs" / "mine" / "journal.jsonl"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [event["key"] for event in map(json.loads, lines) if event["event"] == "started"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    reader = Reader(tmp_path_factory.mktemp("tutorial"))
    for language, title, text in BLOCK.findall(TUTORIAL.read_text()):
        reader.follow(language, title, text)
    return reader


def test_adding_a_strategy_to_a_finished_run_repeats_nothing(reader: Reader) -> None:
    alone, joined = reader.started
    assert alone
    assert joined[: len(alone)] == alone
    assert len(joined) > len(alone)
    assert len(set(joined)) == len(joined)
    trials = polars.read_parquet(reader.folder / "runs" / "mine" / "results" / "trials.parquet")
    added = trials.filter(polars.col("key").is_in(joined[len(alone) :]))
    assert set(added["strategy"]) == {"thumbnail"}
    assert set(trials["key"]) == set(joined)


def test_both_arms_are_in_one_report(reader: Reader) -> None:
    run = reader.folder / "runs" / "mine"
    page = (run / "report.html").read_text()
    for expected in ("Thumbnail", "Random", "SIMULATED"):
        assert expected in page or expected.lower() in page
    arms = [arm["name"] for arm in json.loads((run / "run.json").read_text())["arms"]]
    assert arms == ["random_init", "thumbnail"]
    assert json.loads((run / "run.json").read_text())["status"]["state"] == "complete"


def test_what_the_page_shows_was_printed(reader: Reader) -> None:
    assert "MEND" not in reader.output
    assert "same seed, same weights" in reader.output
    assert "went on from checkpoint.pt to the same end" in reader.output
    assert "coarse_thumbnail: thumbnail_size 2 -> 1" in reader.output
