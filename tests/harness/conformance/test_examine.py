"""What keeps its contract passes, and every way to break it is found, named and told how to mend."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.conformance import Finding, examine
from harness.conformance.finding import Findings
from harness.conformance.laboratory import Observation
from harness.conformance.shared import judge_resources
from harness.resources import Resources
from registry.contracts import InputError, ResourceRequest
from registry.contracts.domain import is_test_file
from tests.harness.conformance import offenders
from tests.harness.digits_run import PLUGIN, ROOT, harness

OFFENDERS = Path(offenders.__file__)
PLUGINS = (str(PLUGIN), str(OFFENDERS))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _stray_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(offenders.STRAY, str(tmp_path / "stray.txt"))


def by_check(name: str, cache: Path, **how: Any) -> dict[str, Finding]:
    how = {"executor": "inline", **how}
    return {found.check: found for found in examine(name, cache=cache, plugins=PLUGINS, **how)}


def failures(found: dict[str, Finding]) -> dict[str, str]:
    assert all(one.mend for one in found.values() if one.failed)
    return {check: one.detail for check, one in found.items() if one.failed}


@pytest.mark.parametrize("name", ["stepwise", "stroke", "redrawing"])
def test_what_keeps_its_contract_passes_every_check(name: str, cache: Path) -> None:
    found = by_check(name, cache)
    assert failures(found) == {}
    assert found["runs from a suite to a report"].state == "ok"
    assert found["reads no test data"].state == "ok"
    if name == "stroke":
        assert found["a kept model predicts the same"].state == "ok"
    resumed = found["goes on after being killed"]
    if name == "stepwise":
        assert resumed.state == "ok"
        assert "went on from sum.npz to the same end" in resumed.detail
    else:
        assert resumed.state == "not applicable"


@pytest.mark.slow
@pytest.mark.ray
def test_the_last_check_is_a_run_in_a_worker_of_ray(cache: Path) -> None:
    found = by_check("principal_components", cache, executor="tune")
    assert failures(found) == {}
    assert found["runs on Ray, from a suite to a report"].state == "ok"


def test_a_process_that_is_left_running_is_found(cache: Path) -> None:
    found = failures(by_check("littering", cache))
    assert found == {"keeps to its resources": "left running: sleep 60, sleep 60"}


@pytest.mark.parametrize(
    ("cpu_seconds", "state"), [(0.3, "not applicable"), (9.0, "ok"), (12.0, "ok"), (19.0, "failed")]
)
def test_more_processors_than_declared_are_found(cpu_seconds: float, state: str) -> None:
    laboratory = SimpleNamespace(plan=SimpleNamespace(suite=SimpleNamespace(resources=Resources(threads=1))))
    row = {"cpu_seconds": cpu_seconds, "wall_seconds": 10.0}
    findings = Findings("x")
    done = Observation(({"status": "done", "row": row},))
    judge_resources(findings, laboratory, done, ResourceRequest())  # type: ignore[arg-type]
    assert [found.state for found in findings] == [state]


@pytest.mark.parametrize(
    ("declared", "state"),
    [
        (ResourceRequest(cpus=2), "ok"),
        (ResourceRequest(cpus=2, memory_bytes=2**30), "ok"),
        (ResourceRequest(cpus=1.2), "failed"),
        (ResourceRequest(cpus=2, memory_bytes=2**20), "failed"),
    ],
)
def test_trials_are_held_to_what_they_declare(declared: ResourceRequest, state: str) -> None:
    laboratory = SimpleNamespace(plan=SimpleNamespace(suite=SimpleNamespace(resources=Resources(threads=1))))
    row = {"cpu_seconds": 19.0, "wall_seconds": 10.0, "peak_memory_bytes": 2**29}
    findings = Findings("x")
    judge_resources(findings, laboratory, Observation(({"status": "done", "row": row},)), declared)  # type: ignore[arg-type]
    assert [found.state for found in findings] == [state]


def test_test_data_stray_files_and_ignored_seeds_are_found(cache: Path) -> None:
    found = failures(by_check("rude", cache))
    assert found["reads no test data"] == "tried to open split labelled: test"
    assert "stray.txt" in found["writes only where it may"]
    assert "another seed made the same weights" in found["another seed, other weights"]
    assert set(found) == {"reads no test data", "writes only where it may", "another seed, other weights"}


def test_weights_that_are_no_numbers_are_found(cache: Path) -> None:
    found = failures(by_check("diverging", cache))
    assert list(found) == ["works in a worker's process"]
    assert "weights encoder.weight are not finite" in found["works in a worker's process"]


def test_a_test_file_opened_behind_the_door_is_named(cache: Path) -> None:
    found = failures(by_check("burglar", cache))
    assert "labelled-test.npz" in found["reads no test data"]
    assert "FileNotFoundError" in found["works in a worker's process"]


def test_weights_that_no_seed_decides_are_found(cache: Path) -> None:
    assert set(failures(by_check("unsteady", cache))) == {"same seed, same weights"}


def test_a_checkpoint_that_forgets_its_random_numbers_is_found(cache: Path) -> None:
    found = failures(by_check("forgetful", cache))
    assert set(found) == {"goes on after being killed"}
    assert "to another end" in found["goes on after being killed"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hanging", "took longer than 5 s on tiny data"),
        ("vanishing", "the process ended with status 7"),
    ],
)
def test_a_strategy_that_never_comes_back_is_one_finding(name: str, words: str, cache: Path) -> None:
    found = failures(by_check(name, cache, time_limit_seconds=5))
    assert list(found) == ["works in a worker's process"]
    assert words in found["works in a worker's process"]


def test_a_part_that_is_missing_is_named_with_the_place(cache: Path) -> None:
    found = failures(by_check("short", cache))
    words = found["works in a worker's process"]
    assert "declares parts ['encoder', 'generator'] and returned ['encoder']" in words


def test_a_task_that_promises_too_much_is_found(cache: Path) -> None:
    checks = by_check("sloppy", cache)
    assert checks["a kept model predicts the same"].state == "not applicable"
    found = failures(checks)
    assert found["predicts every scan once"] == "10 of 40 scans of the test split"
    assert "colour (primary endpoint)" in found["delivers the declared rows"]
    assert "trains = True is declared" in found["another seed, other predictions"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("amnesiac", "the model that restore() built predicted otherwise"),
        pytest.param(
            "hoarding",
            "NotImplementedError: task 'hoarding' does not say how a kept model is built again",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_model_that_cannot_be_had_again_is_found(name: str, words: str, cache: Path) -> None:
    found = failures(by_check(name, cache))
    assert set(found) == {"a kept model predicts the same"}
    assert words in found["a kept model predicts the same"]


def test_exit_statuses_and_json(cache: Path, tmp_path: Path) -> None:
    arguments = ["check", "principal_components", "--plugin", str(PLUGIN), "--cache", str(cache)]
    arguments += ["--executor", "inline"]
    done = harness(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok   another seed, the same weights" in done.stdout
    arguments = ["check", "short", "--plugin", str(PLUGIN), "--plugin", str(OFFENDERS), "--cache", str(cache)]
    done = harness(*arguments, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["state"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dxa_vea"], "did you mean 'dxa_vae'?"),
        ([], "there is nothing to check; give the name"),
        (["--plugin", "absent.py"], "absent.py' does not exist"),
    ],
)
def test_what_cannot_be_found_exits_with_2(arguments: list[str], words: str) -> None:
    done = harness("check", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_domain_without_tiny_data_says_so(tmp_path: Path) -> None:
    plugin = tmp_path / "bare.py"
    plugin.write_text(
        "from registry.contracts import strategy\n"
        "from tests.domains.digits import Digits, RandomProjection\n"
        "class Bare(Digits):\n"
        "    name = 'bare'\n"
        "    def tiny_suite(self):\n"
        "        return {}\n"
        "@strategy('lonely', provides={'encoder'}, domain='bare')\n"
        "class Lonely(RandomProjection):\n"
        "    pass\n"
    )
    with pytest.raises(InputError, match=r"'bare' offers no tiny data.*tiny_suite"):
        examine("lonely", cache=tmp_path, plugins=(str(plugin),))


@pytest.mark.parametrize(
    ("name", "closed"),
    [("paired/test/scans.npy", True), ("a-test.npz", True), ("contest.npz", False), ("train/x.npy", False)],
)
def test_test_files_are_known_by_their_names(name: str, closed: bool) -> None:
    assert is_test_file(Path(name)) is closed
