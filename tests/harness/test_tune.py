"""Ray Tune behind the seam. One Ray session serves nearly everything: it takes seconds to start."""

from __future__ import annotations

import itertools
import json
import os
import socket
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harness.executors import tune
from harness.executors.base import WorkersUnavailableError
from harness.executors.feed import Feed
from harness.executors.tune import TuneExecutor
from harness.progress import SilentDisplay
from harness.resources import Resources
from harness.run import Finished, run_suite
from tests.harness.digits_run import digits_request, journal, numbers, run_inline, tables

MORTALS = """
import os, signal, time
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
        print("a word before the end")
        raise RuntimeError("my own bug")

@strategy("endless", provides={"encoder"}, domain="digits")
class Endless(RandomProjection):
    def pretrain(self, context):
        (context.scratch.parent.parent / f"endless-{os.getpid()}").touch()
        time.sleep(600)

@strategy("hungry", provides={"encoder"}, domain="digits")
class Hungry(RandomProjection):
    def pretrain(self, context):
        feasts = context.scratch.parent.parent
        (feasts / f"feast-{len(list(feasts.glob('feast-*')))}").touch()
        if len(list(feasts.glob("feast-*"))) < 3:
            raise MemoryError("no more")
        return super().pretrain(context)
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
    arms = ["principal_components", "random_projection", "mortal", "doomed", "faulty", "endless", "hungry"]
    needs = {"time_limit_seconds": 60.0, "pretrain": {"time_limit_seconds": 3.0}, "memory": "20MiB"}
    request = digits_request(folder, plugins=(plugin,), strategies=arms, resources=needs)
    watching = Watching()
    finished = run_suite(request, TuneExecutor(request.suite.resources, workers=2), watching)
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
        "endless": "failed",
        "hungry": "done",
    }
    errors = dict(pretraining.select("strategy", "error").iter_rows())
    assert "its worker was lost 3 times" in errors["doomed"]
    assert errors["faulty"] == "RuntimeError: my own bug"
    assert errors["endless"].endswith("time limit of 3 s reached")
    assert len(list((folder / "run").glob("death-*"))) == 3
    assert len(list((folder / "run").glob("fault-*"))) == 1
    assert len(list((folder / "run").glob("endless-*"))) == 1


@pytest.mark.ray
def test_exhausted_memory_is_retried_with_more(session: Session) -> None:
    retried = [event for event in journal(session[0] / "run") if event["event"] == "retried"]
    assert Counter(event["reason"] for event in retried) == {"lost": 3, "out_of_memory": 2}
    sizes = [e["resources"]["memory_bytes"] for e in retried if e["reason"] == "out_of_memory"]
    assert sizes == [40 * 2**20, 80 * 2**20]


@pytest.mark.ray
def test_what_a_trial_printed_is_in_its_log(session: Session) -> None:
    run = session[0] / "run"
    keys = {event["label"]: event["key"] for event in journal(run) if event["event"] == "started"}
    assert "a word before the end\n" in (run / "logs" / f"{keys['pretrain faulty seed 0']}.log").read_text()
    attempts = (run / "logs" / f"{keys['pretrain doomed seed 0']}.log").read_text()
    assert attempts.count("=== pretrain doomed seed 0, ") == 3


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


def test_the_feed_hands_on_in_order_after_its_warm_up() -> None:
    feed = Feed(slots=lambda _: 2, trials=9, group="g")
    feed.submit("a", "1", {"CPU": 1})
    feed.submit("b", "2", {"CPU": 2})
    told = {"warm_up": 2, "group": "g-0", "resources": {"CPU": 1}}
    for number in range(2):
        assert feed.take(f"warm{number}") == {**told, "name": f"warm{number}"}
    assert feed.take("t1") == {"payload": "1", "resources": {"CPU": 1}, "tracked": False}
    feed.give_back("warm0", {})
    assert feed.ended.empty()
    assert feed.take("t2") == {"payload": "2", "resources": {"CPU": 2}, "tracked": False}
    assert feed.take("t3") is None
    feed.give_back("t2", {"status": "done"})
    assert feed.ended.get_nowait() == ("b", {"status": "done"})
    assert feed.close() is False
    with pytest.raises(StopIteration):
        feed.take("t4")


def test_every_shape_is_warmed_up_once_beside_what_runs() -> None:
    nodes = [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 4.0}]
    large, small, on_gpu = {"CPU": 3.0}, {"CPU": 1.0}, {"CPU": 1.0, "GPU": 0.25}
    feed = Feed(slots=lambda shape: tune.slots_on(nodes, shape), trials=50, group="g")
    numbers = itertools.count()

    def taken() -> list[tuple[str, Any]]:
        """What is handed out now: trials by payload, warm-up trials by group and number."""
        found = []
        while (told := feed.take(f"{len(found)}-{next(numbers)}")) is not None:
            found.append(told.get("payload") or (told["group"], told["warm_up"]))
            if "payload" not in told:
                feed.give_back(told["name"], {})
        return found

    feed.submit("a", "large", large)
    feed.submit("b", "large", large)
    assert taken() == [("g-0", 2), ("g-0", 2), "large", "large"]  # one on each node
    for number in range(5):
        feed.submit(f"c{number}", "small", small)
    # eight would fit; a large one takes the places of three, so two are sure to fit beside both
    assert taken() == [("g-1", 2)] * 2 + ["small"] * 5
    feed.submit("d", "large", large)
    feed.submit("e", "on_gpu", on_gpu)
    assert taken() == ["large", "on_gpu"]  # nothing again; and one alone needs no other to wait for


def test_a_ray_that_would_listen_on_the_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    executor = TuneExecutor(Resources(), workers=1)
    with pytest.raises(WorkersUnavailableError, match="would listen on the network"):
        executor.start(trials=1)


@pytest.mark.ray
def test_a_tracker_that_fails_is_left_out_and_sees_no_test_numbers(session: Session, tmp_path: Path) -> None:
    """Here because Ray must have been imported with the executor's environment."""
    from harness.executors.trackers import Tracker, numbers_of  # noqa: PLC0415

    calls: list[str] = []

    class Inner:
        def setup(self) -> None:
            calls.append("setup")

        def log_trial_start(self, trial: Any) -> None:
            calls.append(str(trial))
            raise OSError("no network")

        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            calls.append("result")

    payload = {
        "key": "f" * 64,
        "arm": "mine",
        "draw": 2,
        "spec": {
            **dict.fromkeys(("pretraining_hyperparameters", "baseline", "pretraining_seed")),
            "stage": "tune",
            "task": "stroke",
            "seed": 100,
            "hyperparameters": {"penalty": 0.5},
        },
    }
    trial: Any = type("Trial", (), {"config": {"payload": json.dumps(payload)}, "last_result": None})()
    tracker = Tracker("mine", Inner(), tmp_path)
    tracker.setup()
    seen = tracker._seen(trial)
    assert seen is not None
    assert seen.config == {
        "arm": "mine",
        "draw": 2,
        "stage": "tune",
        "task": "stroke",
        "seed": 100,
        "penalty": 0.5,
    }
    tracker.on_trial_start(0, [], trial)
    tracker.on_trial_result(0, [], trial, {"training_iteration": 1})
    assert calls == ["setup", "tune mine stroke ffffffff"]
    result = {"training_iteration": 3, "step": 70, "numbers": {"loss": 1.0, "gone": None}, "outcome": "{}"}
    assert numbers_of(result) == {"training_iteration": 3, "timesteps_total": 70, "loss": 1.0}
