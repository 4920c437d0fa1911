"""The journal survives what happens to processes: torn lines, damage, two writers, a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.files import StorageError
from harness.journal import Journal, check_free, read_journal
from registry.contracts import InputError


def test_events_come_back_in_order(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append("started", key="a", draw=None)
        journal.append("finished", key="a", score=0.5)
    history = read_journal(tmp_path / "journal.jsonl")
    assert [(e["event"], e["key"]) for e in history.events] == [("started", "a"), ("finished", "a")]
    assert [e["score"] for e in history.of("finished")] == [0.5]
    assert history.damaged == ()


def test_an_absent_journal_is_empty(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "journal.jsonl").events == []


@given(st.integers(0, 200))
def test_a_torn_last_line_is_ignored_and_cut_off_by_the_next_writer(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(3):
            journal.append("finished", key=f"k{number}")
    whole = path.read_bytes()
    cut = min(cut, len(whole))
    path.write_bytes(whole[:cut])
    survivors = whole[:cut].count(b"\n")
    assert [e["key"] for e in read_journal(path).events] == [f"k{n}" for n in range(survivors)]
    with Journal(path) as journal:
        journal.append("finished", key="next")
    history = read_journal(path)
    assert [e["key"] for e in history.events] == [*(f"k{n}" for n in range(survivors)), "next"]
    assert history.damaged == ()


def test_damaged_lines_are_counted_not_fatal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append("finished", key="a")
    with path.open("ab") as file:
        file.write(b'\x00\xff garbage\n[1, 2]\n{"no": "event"}\n')
    with Journal(path) as journal:
        journal.append("finished", key="b")
    history = read_journal(path)
    assert [e["key"] for e in history.events] == ["a", "b"]
    assert history.damaged == (2, 3, 4)


def test_a_second_live_process_is_refused_and_named(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl"):
        for attempt in (lambda: Journal(tmp_path / "journal.jsonl"), lambda: check_free(tmp_path)):
            with pytest.raises(InputError, match=rf"in use by process {os.getpid()} on .*another --output"):
                attempt()
    check_free(tmp_path)
    with Journal(tmp_path / "journal.jsonl"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from harness.journal import Journal\n"
        "Journal(Path(sys.argv[1])).append('started', key='a')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "journal.jsonl")], check=False)
    assert done.returncode == -9
    assert (tmp_path / "journal.lock").exists()
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append("finished", key="a")
    assert len(read_journal(tmp_path / "journal.jsonl").events) == 2


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append("started", key="a")
        whole = path.read_bytes()
        write = os.write

        def full(handle: int, data: bytes) -> int:
            if len(data) > 10:
                return write(handle, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(
            os, "write", lambda handle, data: full(handle, data[:10] if len(data) > 20 else b"")
        )
        with pytest.raises(StorageError, match=r"No space left on device.*free some space"):
            journal.append("finished", key="a")
        monkeypatch.undo()
        assert path.read_bytes() == whole
