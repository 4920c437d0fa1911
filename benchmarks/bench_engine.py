"""The engine's hot paths, each beside a plain way to do the same in the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.collector import paused_collector
from harness.evidence import evidence_of
from harness.executors.simulated import SimulatedExecutor
from harness.files import write_folder
from harness.journal import Journal, read_journal
from harness.outlook import trial_states
from harness.plan import Plan, make_plan
from harness.policy import Outcome, Policy
from harness.price.price import price_of
from harness.price.timings import Timing
from harness.price.work import work_of
from harness.recovery import problem_in
from harness.results import RunFolder, result_files, table
from harness.suite import Suite
from registry.catalog import Catalogue
from tests.harness.toys import toy_catalogue, toy_plan, toy_strategy, toy_suite, toy_task

SIDE = 100
SETTINGS = {"backbone": "some_backbone", "height": 75, "width": 55, "steps": 200, "batch_size": 8}


@pytest.fixture(scope="module")
def matrix() -> tuple[Suite, Catalogue]:
    """A suite of 100 strategies and 100 tasks: 10,000 cells."""
    strategies = [toy_strategy(f"s{i}", factors={"weight": i}) for i in range(SIDE)]
    tasks = [toy_task(f"t{i}") for i in range(SIDE)]
    suite = toy_suite([s.card.name for s in strategies], [t.card.name for t in tasks], budget={"draws": 1})
    return suite, toy_catalogue(strategies, tasks)


@pytest.mark.benchmark(group="plan of 10,000 cells")
def test_plan(benchmark: Any, matrix: tuple[Suite, Catalogue]) -> None:
    """Cells, trials, identities and the state of the policy."""
    suite, catalogue = matrix

    def plan() -> Policy:
        return Policy(make_plan(suite, catalogue, settings=SETTINGS, cohort="c" * 64))

    assert len(benchmark(plan).trials) == SIDE * SIDE + SIDE


@pytest.mark.benchmark(group="plan of 10,000 cells")
def test_plan_with_price_and_evidence(benchmark: Any, matrix: tuple[Suite, Catalogue]) -> None:
    """The whole of `harness plan` but its table: also every kind of trial told apart, and priced."""
    suite, catalogue = matrix

    @paused_collector()
    def plan() -> int:
        made = make_plan(suite, catalogue, settings=SETTINGS, cohort="c" * 64)
        policy = Policy(made)
        states = trial_states(policy, set(), {})
        work = work_of(made, policy)
        timings = {one.kind: Timing(1.0, 1.0, 1) for one in work}
        price = price_of(work, timings, slots=8)
        assert len(evidence_of(made)) == SIDE
        assert len(states) == SIDE * SIDE + SIDE
        return price.priced

    assert benchmark(plan) == SIDE + SIDE * SIDE * (1 + 4)


@pytest.mark.benchmark(group="plan of 10,000 cells")
def test_plan_reference_nested_loop(benchmark: Any) -> None:
    """The least a plan could be: a dictionary per cell, without identity, state or dependencies."""

    def plan() -> list[dict[str, Any]]:
        return [{"s": s, "t": t, **SETTINGS} for t in range(SIDE) for s in range(SIDE)]

    assert len(benchmark(plan)) == SIDE * SIDE


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run folder with 10,000 finished trials."""
    run = RunFolder(tmp_path_factory.mktemp("run"))
    (run.root / "trials").mkdir()
    lines = []
    for number in range(SIDE * SIDE):
        key = f"{number:064x}"
        folder = run.trial(key)
        folder.mkdir()
        (folder / "result.json").write_text(
            json.dumps({"key": key, "validation_score": 0.5, "artifact": "a" * 64})
        )
        lines.append(
            json.dumps({"event": "started", "key": key, "time": "t", "label": "tune a / b seed 100"})
        )
        lines.append(json.dumps({"event": "finished", "key": key, "time": "t", "validation_score": 0.5}))
    run.journal.write_text("\n".join(lines) + "\n")
    return run


@pytest.mark.benchmark(group="resume scan of 10,000 finished trials")
def test_resume_scan(benchmark: Any, finished_run: RunFolder) -> None:
    """The journal and one listing of the folder."""
    found = benchmark(lambda: finished_run.finished_outcomes(read_journal(finished_run.journal)))
    assert len(found) == SIDE * SIDE


@pytest.mark.benchmark(group="resume scan of 10,000 finished trials")
def test_resume_scan_reference_open_every_result(benchmark: Any, finished_run: RunFolder) -> None:
    """What a scan costs that opens every result."""

    def scan() -> dict[str, Any]:
        folders = (finished_run.root / "trials").iterdir()
        return {folder.name: json.loads((folder / "result.json").read_text()) for folder in folders}

    assert len(benchmark.pedantic(scan, rounds=3)) == SIDE * SIDE


@pytest.fixture(scope="module")
def written_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run folder with 1,000 trials of two files, as workers write them."""
    run = RunFolder(tmp_path_factory.mktemp("written"))
    curves = table("curves", [{"key": "k", "step": step, "name": "loss", "value": 0.5} for step in range(50)])
    for number in range(1000):
        key = f"{number:064x}"
        write_folder(run.trial(key), result_files({"key": key, "validation_score": 0.5}, {"curves": curves}))
    return run


@pytest.mark.benchmark(group="checksums of 1,000 finished trials")
def test_checksums(benchmark: Any, written_run: RunFolder) -> None:
    """Every byte of every trial, as at each start."""
    keys = written_run.finished_keys()
    assert not any(benchmark(lambda: [problem_in(written_run.trial(key)) for key in keys]))


@pytest.mark.benchmark(group="checksums of 1,000 finished trials")
def test_checksums_reference_read_only(benchmark: Any, written_run: RunFolder) -> None:
    """Reading the same bytes, without looking at them."""
    folders = [written_run.trial(key) for key in written_run.finished_keys()]
    benchmark(lambda: [path.read_bytes() for folder in folders for path in folder.iterdir()])


def drive(plan: Plan, folder: Path) -> int:
    """What the driver does per trial: policy, payload, journal; trials take no time."""
    policy = Policy(plan)
    executor = SimulatedExecutor(lambda _: 1.0, lambda _: {}, slots=8)
    in_flight = trials = 0
    with Journal(folder / "journal.jsonl") as journal:
        while not policy.finished:
            while in_flight < executor.capacity and (trial := policy.next_trial()) is not None:
                journal.append("started", key=trial.key, label=trial.label, draw=trial.draw)
                executor.submit({"key": trial.key, "spec": trial.spec.as_dict()})
                in_flight += 1
            event = executor.next_event(1.0)
            if event is None:
                continue
            in_flight -= 1
            trials += 1
            journal.append("finished", key=event.key, validation_score=0.5, artifact=None, wall_seconds=1.0)
            policy.complete(event.key, Outcome("done", 0.5, "a" * 64))
    return trials


@pytest.mark.benchmark(group="driver, per run of 200 trials")
def test_driver(benchmark: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Policy and journal, two fsyncs per trial."""
    plan = toy_plan(8, 4, budget={"draws": 4}, settings=SETTINGS)

    def run() -> int:
        return drive(plan, tmp_path_factory.mktemp("driver"))

    assert benchmark.pedantic(run, rounds=5) == 8 + 8 * 4 * 4 + 8 * 4 * 2


@pytest.mark.benchmark(group="driver, per run of 200 trials")
def test_driver_reference_synced_lines(benchmark: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same number of synced lines and nothing else: what the disk takes."""

    def run() -> None:
        with Journal(tmp_path_factory.mktemp("lines") / "journal.jsonl") as journal:
            for number in range(2 * 200):
                journal.append("line", number=number)

    benchmark.pedantic(run, rounds=5)


@pytest.mark.benchmark(group="a trial's folder")
def test_write_folder(benchmark: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three files, synced, renamed into place."""
    root = tmp_path_factory.mktemp("folders")
    files = {f"{name}.parquet": b"x" * 20_000 for name in ("a", "b", "c")}
    numbers = iter(range(10**9))
    benchmark(lambda: write_folder(root / str(next(numbers)), files))


@pytest.mark.benchmark(group="a trial's folder")
def test_write_folder_reference_unsafe(benchmark: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same files, neither synced nor atomic."""
    root = tmp_path_factory.mktemp("unsafe")
    numbers = iter(range(10**9))

    def write() -> None:
        folder = root / str(next(numbers))
        folder.mkdir()
        for name in ("a", "b", "c"):
            (folder / f"{name}.parquet").write_bytes(b"x" * 20_000)

    benchmark(write)
