"""A Ray cluster of two nodes with a fake GPU each: packing, node loss, an object store, nodes that differ."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from harness.executors.nodes import differences
from tests.harness.cluster_nodes import TestCluster, cluster_of
from tests.harness.digits_run import command, harness, journal, numbers

#: Logs start and end of every trial with the node and the GPU that it was given.
LOGGING = """
import os, time
from pathlib import Path
from tests.domains import digits
from registry.contracts import strategy, task

def log(what, context):
    line = " ".join([what, str(time.time()), os.environ["NODE"], os.environ.get("CUDA_VISIBLE_DEVICES", "-")])
    with Path(os.environ["GPU_LOG"]).open("a") as file:
        file.write(f"{line} {context.scratch.name} {context.device}\\n")

@strategy("logged", provides={"encoder"}, domain="digits")
class Logged(digits.RandomProjection):
    def pretrain(self, context):
        return super().pretrain(context)

@task("slow_stroke", needs={"encoder"}, domain="digits", part="labelled",
      primary=digits.Stroke.card.primary, baselines=("mean",))
class SlowStroke(digits.Stroke):
    def fit(self, context, artifact):
        log("start", context)
        time.sleep(float(os.environ.get("SLOW", "0.5")))
        log("end", context)
        return super().fit(context, artifact)
"""
UNEQUAL = """
import os
if os.environ.get("NODE") == "1":
    raise RuntimeError("a library is missing here")
"""
NUMBER_OF_NODES = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def cluster(place: Path, s3: str) -> Iterator[TestCluster]:
    nodes = [
        {
            "num_cpus": 3,
            "num_gpus": 1,
            "env_vars": {"NODE": str(number), "HARNESS_CACHE": str(place / f"node{number}")},
        }
        for number in range(NUMBER_OF_NODES)
    ]
    # longer than a worker takes to start: else a pool that shrank for want of trials stays small
    with cluster_of(nodes, GPU_LOG=str(place / "gpu.log"), SLOW="3") as started:
        yield started


def arguments(folder: Path, cluster: TestCluster, *more: str, text: str = LOGGING) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    plugin = folder.parent / "logging_plugin.py"
    plugin.write_text(text)
    return command(
        folder,
        *("--plugin", str(plugin), "--address", cluster.address, "--strategies", "logged,random_projection"),
        *("--tasks", "slow_stroke", *more),
        executor="tune",
    )


def run(arguments: list[str], cluster: TestCluster) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, env=cluster.environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def quiet(place: Path) -> Path:
    """The same run in one process."""
    folder = place / "quiet"
    folder.mkdir()
    plugin = place / "logging_plugin.py"
    plugin.write_text(LOGGING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODE", "driver")
        patch.setenv("GPU_LOG", str(place / "quiet.log"))
        patch.setenv("SLOW", "0")
        done = harness(
            *command(folder, "--plugin", str(plugin))[3:],
            *("--strategies", "logged,random_projection", "--tasks", "slow_stroke"),
        )
    assert done.returncode == 0, done.stderr
    return folder / "run"


def same_numbers(ours: Path, theirs: Path) -> None:
    left, right = numbers(ours), numbers(theirs)
    for name, frame in right.items():
        if name == "trials":
            frame, left[name] = frame.drop("device"), left[name].drop("device")  # noqa: PLW2901
        assert_frame_equal(left[name], frame, check_exact=True)


@pytest.mark.slow
@pytest.mark.ray
def test_fractional_gpus_are_packed_and_never_overbooked(
    place: Path, cluster: TestCluster, quiet: Path
) -> None:
    done = run(arguments(place / "packed", cluster, "--resources", "gpus=0.5"), cluster)
    assert done.returncode == 0, done.stdout + done.stderr
    same_numbers(place / "packed" / "run", quiet)
    events = sorted(line.split() for line in (place / "gpu.log").read_text().splitlines())
    events.sort(key=lambda event: float(event[1]))
    busy: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for what, _, node, gpu, _, device in events:
        assert gpu == "0"
        assert device == "cuda"
        busy[node] += 1 if what == "start" else -1
        most[node] = max(most[node], busy[node])
    assert set(most) == {"0", "1"}  # both nodes worked
    assert max(most.values()) == 2  # two halves of a GPU at once, never three


@pytest.mark.slow
@pytest.mark.ray
def test_nodes_that_share_nothing_work_through_a_store(
    place: Path, cluster: TestCluster, quiet: Path, s3: str
) -> None:
    done = run(arguments(place / "stored", cluster, "--storage", f"{s3}/cluster"), cluster)
    assert done.returncode == 0, done.stdout + done.stderr
    same_numbers(place / "stored" / "run", quiet)
    for number in range(NUMBER_OF_NODES):
        node = place / f"node{number}"
        assert [path.name for path in (node / "cohorts").glob("[!.]*")] != []
    assert not (place / "stored" / "cache" / "artifacts").exists()
    assert list((place / "stored" / "run" / "logs").iterdir())


@pytest.mark.slow
@pytest.mark.ray
def test_a_node_that_differs_is_named_before_anything_runs(place: Path, cluster: TestCluster) -> None:
    done = run(arguments(place / "unequal", cluster, text=LOGGING + UNEQUAL), cluster)
    assert done.returncode == 2
    assert "nodes of the cluster differ from this machine" in done.stderr
    assert "a library is missing here" in done.stderr
    assert "install the same packages on every node" in done.stderr
    assert [event["event"] for event in journal(place / "unequal" / "run")] == ["began"]


@pytest.mark.slow
@pytest.mark.ray
def test_what_no_node_can_give_is_refused(place: Path, cluster: TestCluster) -> None:
    done = run(arguments(place / "greedy", cluster, "--resources", "gpus=2"), cluster)
    assert done.returncode == 2
    assert "one trial needs 1 CPUs and 2 GPUs, a node has" in done.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_lost_node_costs_its_running_trials_once(place: Path, cluster: TestCluster, quiet: Path) -> None:
    """The last test of this cluster: it loses a node."""
    process = subprocess.Popen(
        arguments(place / "lost", cluster, "--resources", "gpus=0.5"),
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    events = place / "lost" / "run" / "journal.jsonl"
    deadline = time.monotonic() + 120
    log = place / "gpu.log"
    before = len(log.read_text().splitlines()) if log.exists() else 0
    while time.monotonic() < deadline:
        lines = [line.split() for line in log.read_text().splitlines()[before:]] if log.exists() else []
        starts, ends = (Counter(line[2] for line in lines if line[0] == what) for what in ("start", "end"))
        if starts["1"] > ends["1"] and ends["1"] >= 1:
            break
        time.sleep(0.01)
    cluster.lose(1)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    same_numbers(place / "lost" / "run", quiet)
    told = [json.loads(line) for line in events.read_text().splitlines()]
    retried = [event for event in told if event["event"] == "retried"]
    assert retried
    assert {event["reason"] for event in retried} == {"lost"}
    finished = Counter(event["key"] for event in told if event["event"] == "finished")
    assert set(finished.values()) == {1}


def test_differences_are_named_with_both_sides() -> None:
    here = {"ray": "2.60", "torch": "2.6", "the code of harness": "abc"}
    there = {"facts": {"ray": "2.60", "torch": "2.5", "strategies mine": "x"}, "unseen": ["/data/runs"]}
    assert differences(here, there) == [
        "torch is 2.5, here 2.6",
        "the code of harness is absent, here abc",
        "strategies mine is x, here absent",
        "/data/runs is not the folder of this machine",
    ]
    assert differences(here, {"facts": dict(here), "unseen": []}) == []
    assert differences(here, {"error": "ModuleNotFoundError: no harness"}) == [
        "the code of harness does not load: ModuleNotFoundError: no harness"
    ]
