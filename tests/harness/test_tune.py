"""Ray Tune behind the seam. One Ray session serves nearly everything: it takes seconds to start."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harness.executors import WorkersUnavailableError, tune
from harness.executors.feed import Feed
from harness.executors.tune import TuneExecutor
from harness.progress import SilentDisplay
from harness.run import Finished, run_suite
from harness.suite import Resources
from tests.harness.digits_run import digits_request, journal, numbers, run_inline, tables

MORTALS = """
import os, signal
from tests.domains.digits import RandomProjection
from registry.contracts import strategy

@strategy("mortal", provides={"encoder"}, domain="digits")
class Mortal(RandomProjection):
    def pretrain(self, context):
        mark = context.scratch / "died-once"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().pretrain(context)

@strategy("doomed", provides={"encoder"}, domain="digits")
class Doomed(RandomProjection):
    def pretrain(self, context):
        run = context.scratch.parent.parent
        (run / f"death-{len(list(run.glob('death-*')))}").touch()
        os.kill(os.getpid(), signal.SIGKILL)

@strategy("faulty", provides={"encoder"}, domain="digits")
class Faulty(RandomProjection):
    def pretrain(self, context):
        (context.scratch.parent.parent / f"fault-{os.getpid()}").touch()
        raise RuntimeError("my own bug")
"""


def descendants(root: int) -> set[int]:
    """This process and all below it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening_addresses(processes: set[int]) -> set[str]:
    """Addresses on which any of the processes listens, from the kernel's own tables."""
    inodes = set()
    for process in processes:
        try:
            for handle in Path(f"/proc/{process}/fd").iterdir():
                name = os.readlink(handle)  # noqa: PTH115
                if name.startswith("socket:["):
                    inodes.add(name[8:-1])
        except OSError:
            continue
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                words = bytes.fromhex(fields[1].split(":")[0])
                packed = b"".join(
                    struct.pack(">I", struct.unpack("<I", words[i : i + 4])[0])
                    for i in range(0, len(words), 4)
                )
                found.add(socket.inet_ntop(family, packed))
    return found


class Watching(SilentDisplay):
    """Looks at Ray's sockets while trials run."""

    def __init__(self) -> None:
        self.addresses: set[str] = set()

    def ended(self, trial: Any, status: str, row: dict[str, Any]) -> None:
        self.addresses |= listening_addresses(descendants(os.getpid()))


Session = tuple[Path, Finished, Watching, set[str]]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("ray")
    plugin = folder / "mortals.py"
    plugin.write_text(MORTALS)
    arms = ["principal_components", "random_projection", "mortal", "doomed", "faulty"]
    request = digits_request(folder, plugins=(plugin,), strategies=arms)
    watching = Watching()
    finished = run_suite(request, TuneExecutor(Resources(), workers=2), watching)
    left = {path.name for path in tune.TEMPORARY.glob(f"harness-{os.getpid()}-*")}
    return folder, finished, watching, left


@pytest.mark.ray
def test_ray_gives_the_numbers_that_one_process_gives(session: Session, tmp_path: Path) -> None:
    folder = session[0]
    arms = ["principal_components", "random_projection"]
    request = digits_request(tmp_path, strategies=arms)
    run_inline(request)
    ours, theirs = numbers(folder / "run"), numbers(request.output)
    keys = theirs["trials"]["key"]
    for name in ("trials", "predictions", "scores", "curves"):
        shared = [frame.filter(pl.col("key").is_in(keys.to_list())) for frame in (ours[name], theirs[name])]
        assert shared[1].height
        assert_frame_equal(*shared, check_exact=True)


@pytest.mark.ray
def test_ray_listens_on_loopback_only_and_leaves_nothing(session: Session) -> None:
    _, _, watching, left = session
    assert watching.addresses, "no socket was seen: the test looks at the wrong processes"
    assert watching.addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert left == set()
    assert not (Path.home() / ".ray" / "auth_token").exists() or "RAY_AUTH_TOKEN_PATH" in os.environ


@pytest.mark.ray
def test_a_lost_worker_is_retried_a_bug_is_not(session: Session) -> None:
    folder, finished, _, _ = session
    assert not finished.complete
    pretraining = tables(folder / "run")["trials"].filter(pl.col("stage") == "pretrain")
    states = dict(pretraining.select("strategy", "status").iter_rows())
    assert states == {
        "principal_components": "done",
        "random_projection": "done",
        "mortal": "done",
        "doomed": "failed",
        "faulty": "failed",
    }
    errors = dict(pretraining.select("strategy", "error").iter_rows())
    assert "its worker was lost 3 times" in errors["doomed"]
    assert errors["faulty"] == "RuntimeError: my own bug"
    assert len(list((folder / "run").glob("death-*"))) == 3
    assert len(list((folder / "run").glob("fault-*"))) == 1


@pytest.mark.ray
def test_every_trial_was_handed_out_once(session: Session) -> None:
    events = journal(session[0] / "run")
    started = Counter(event["key"] for event in events if event["event"] == "started")
    assert set(started.values()) == {1}


def test_folders_of_killed_processes_are_removed_others_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "TEMPORARY", tmp_path)
    dead = subprocess.Popen(["true"])
    dead.wait()
    for name in (f"harness-{dead.pid}-abc", f"harness-{os.getppid()}-abc", "harness-notes-1", "else"):
        (tmp_path / name).mkdir()
    made = tune.session_folder()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {made.name, f"harness-{os.getppid()}-abc", "harness-notes-1", "else"}


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(WorkersUnavailableError, match="one trial needs 1 CPUs and 1 GPUs, there are 2 and 0"):
        TuneExecutor(Resources(gpus=1), workers=2)._slots({"CPU": 2.0})


@pytest.mark.parametrize(("gpus", "available", "slots"), [(0.5, 1, 2), (0.25, 2, 8), (0.3, 1, 3), (1, 4, 4)])
def test_trials_share_gpus_by_fractions(gpus: float, available: float, slots: int) -> None:
    assert TuneExecutor(Resources(gpus=gpus), workers=1)._slots({"CPU": 16.0, "GPU": available}) == slots


def test_the_feed_hands_on_in_order_after_its_warm_up(tmp_path: Path) -> None:
    feed = Feed(warm_up=2, folder=tmp_path)
    feed.submit("a", "1")
    feed.submit("b", "2")
    assert [set(feed.take(f"warm{i}") or {}) for i in range(2)] == [{"warm_up", "folder", "name"}] * 2
    assert feed.take("t1") == {"payload": "1"}
    feed.give_back("warm0", {})
    assert feed.ended.empty()
    assert feed.take("t2") == {"payload": "2"}
    assert feed.take("t3") is None
    feed.give_back("t2", {"status": "done"})
    assert feed.ended.get_nowait() == ("b", {"status": "done"})
    assert feed.close() is False
    with pytest.raises(StopIteration):
        feed.take("t4")
