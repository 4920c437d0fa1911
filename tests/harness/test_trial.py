"""What a trial may see, what it must return, and what is kept when it fails."""

from __future__ import annotations

import importlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from harness import trial as trials
from harness.door import Door, ProgressLog, read_sign_of_life
from harness.executors.inline import InlineExecutor
from harness.measure import Cost, measured, prepared_process
from harness.outputs import exhibit_files, prediction_tables
from harness.plan import Trial
from harness.policy import Policy
from harness.resources import TrialResources
from harness.run import prepare
from harness.trial.checks import primary_score
from registry.contracts import Exhibit, FittedModel, Panel, Predictions, TestSplitClosedError
from tests.domains.digits import Digits, Stroke
from tests.harness.digits_run import digits_request, run_inline, tables

NOSY = """
from tests.domains.digits import PrincipalComponents, Stroke
from registry.contracts import strategy, task, FittedModel, PrimaryEndpoint

@strategy("nosy_strategy", provides={"encoder", "generator"}, domain="digits")
class NosyStrategy(PrincipalComponents):
    def pretrain(self, context):
        context.open_split("unlabelled", "test")

@task("nosy_task", needs={"encoder"}, domain="digits", part="labelled", primary=Stroke.card.primary)
class NosyTask(Stroke):
    def fit(self, context, artifact):
        return FittedModel(context.open_split("labelled", SPLIT), {"mean_r2": 0.5})
"""


def nosy(folder: Path, split: str = "test") -> Path:
    path = folder / "nosy.py"
    path.write_text(NOSY.replace("SPLIT", repr(split)))
    return path


@pytest.mark.parametrize("split", ["test", "Test", "../labelled-test", "all"])
def test_learning_sees_train_and_validation_alone(tmp_path: Path, split: str) -> None:
    view = Door(Digits(), tmp_path).learning_view
    with pytest.raises(TestSplitClosedError, match="is closed: learning sees train and validation"):
        view("labelled", split)


def test_the_view_given_to_plug_ins_has_no_way_to_the_door(tmp_path: Path) -> None:
    view = Door(Digits(), tmp_path).learning_view
    assert not [name for name in dir(view) if "test" in name.lower()]
    assert all(not isinstance(cell.cell_contents, Door) for cell in view.__closure__ or ())


def test_the_test_split_opens_once(tmp_path: Path) -> None:
    opened: list[tuple[str, str]] = []

    class Spy(Digits):
        def open_split(self, folder: Path, part: str, split: str) -> Any:
            opened.append((part, split))

    door = Door(Spy(), tmp_path / "learning", test=tmp_path)
    door.open_test("labelled")
    with pytest.raises(TestSplitClosedError, match="has been opened already"):
        door.open_test("labelled")
    assert opened == [("labelled", "test")]
    assert door.test_openings == 1


@pytest.mark.parametrize(
    ("strategies", "tasks", "stage"),
    [("nosy_strategy", "stroke", "pretrain"), ("random_projection", "nosy_task", "tune")],
)
def test_asking_for_test_data_fails_the_trial(
    tmp_path: Path, strategies: str, tasks: str, stage: str
) -> None:
    request = digits_request(tmp_path, plugins=(nosy(tmp_path),), strategies=[strategies], tasks=[tasks])
    finished = run_inline(request)
    assert not finished.complete
    failed = tables(request.output)["trials"].filter(pl.col("status") == "failed", pl.col("stage") == stage)
    assert failed.height
    assert all("TestSplitClosedError" in error for error in failed["error"])


def test_finals_open_the_test_split_once_each_and_it_is_journaled(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    finished = run_inline(request)
    finals = tables(request.output)["trials"].filter(pl.col("stage") == "final").height
    events = [json.loads(line) for line in (request.output / "journal.jsonl").read_text().splitlines()]
    openings = {e["key"]: e["test_openings"] for e in events if e["event"] == "finished"}
    assert sum(openings.values()) == finals
    assert set(openings.values()) == {0, 1}
    described = json.loads((finished.run.root / "run.json").read_text())
    assert described["provenance"]["test_openings"] == finals


@pytest.mark.parametrize("keep", [False, True])
def test_final_models_stay_where_a_run_keeps_them(tmp_path: Path, keep: bool) -> None:
    request = replace(digits_request(tmp_path, tasks=["stroke"]), keep_models=keep)
    finished = run_inline(request)
    for row in tables(request.output)["trials"].iter_rows(named=True):
        files = {path.name for path in finished.run.trial(row["key"]).iterdir()}
        kept = {"model.json", "model.head.safetensors"} & files
        of_an_arm = row["stage"] == "final" and row["baseline"] is None
        assert len(kept) == (2 if keep and of_an_arm else 0)
        if kept:
            digests = json.loads((finished.run.trial(row["key"]) / "result.json").read_text())["files"]
            assert kept <= set(digests)


def first_payload(tmp_path: Path, choose: Callable[[Trial], bool], **kinds: Any) -> dict[str, Any]:
    """The payload of the first trial of a digits plan that `choose` likes and that needs no weights."""
    request = digits_request(tmp_path, **kinds)
    prepared = prepare(request)
    prepared.domain.prepare(request.suite.cohort, request.cache, workers=1, progress=lambda *_: None)
    policy = Policy(prepared.plan())
    chosen = next(trial for trial in policy.trials.values() if choose(trial))
    return trials.make_payload(
        chosen.spec,
        arm=chosen.arm,
        run=request.output,
        cache=request.cache,
        cohort_folder=prepared.learning_folder(0),
        test_folder=prepared.folder(0) if chosen.stage == "final" else None,
        plugins=request.plugins,
        artifact=None,
        draw=chosen.draw,
        protocols=[],
        resources=TrialResources(),
        threads=1,
        execution={},
    )


def pretrains(trial: Trial) -> bool:
    return trial.stage == "pretrain"


def test_a_payload_is_plain_and_small(tmp_path: Path) -> None:
    payload = first_payload(tmp_path, pretrains)
    assert json.loads(json.dumps(payload)).keys() == payload.keys()
    assert len(json.dumps(payload)) < 4000


def test_a_trial_is_executed_as_the_suite_says_whatever_stands_in_its_identity(tmp_path: Path) -> None:
    plugin = tmp_path / "telling.py"
    plugin.write_text(
        NOSY.replace('context.open_split("unlabelled", "test")', "raise ValueError(dict(context.settings))")
    )
    payload = first_payload(
        tmp_path, lambda trial: trial.arm == "nosy_strategy", plugins=(plugin,), strategies=["nosy_strategy"]
    )
    features = payload["spec"]["settings"]["features"]
    assert f"'features': {features}" in trials.execute(payload)["error"]
    assert "'features': 77" in trials.execute({**payload, "execution": {"features": 77}})["error"]


def test_a_trial_that_is_there_already_is_not_run_again(tmp_path: Path) -> None:
    payload = first_payload(tmp_path, pretrains)
    first = trials.execute(payload)
    again = trials.execute(payload)
    assert first["status"] == again["status"] == "done"
    assert again["row"]["started"] == first["row"]["started"]


def test_nothing_is_left_in_scratch(tmp_path: Path) -> None:
    payload = first_payload(tmp_path, pretrains)
    trials.execute(payload)
    assert list((Path(payload["run"]) / "scratch").iterdir()) == []


def test_a_plug_in_that_changed_is_refused(tmp_path: Path) -> None:
    payload = first_payload(tmp_path, pretrains)
    payload["spec"]["strategy_plugin"] = "0" * 64
    outcome = trials.execute(payload)
    assert outcome["status"] == "failed"
    assert "has changed since this run began" in outcome["error"]


BROKEN = """
from tests.domains.digits import RandomProjection, Stroke
from registry.contracts import strategy, task, Artifact, FittedModel
import numpy as np

@strategy("broken", provides={"encoder"}, domain="digits")
class Broken(RandomProjection):
    def pretrain(self, context):
        BODY
"""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise RuntimeError('my own bug')", "RuntimeError: my own bug"),
        ("return {'encoder': {}}", "TypeError: strategy 'broken' returned dict, not an Artifact"),
        ("return Artifact({'decoder': {}})", "declares parts ['encoder'] and returned ['decoder']"),
        ("raise SystemExit('leaving')", "SystemExit"),
    ],
)
def test_a_strategy_that_breaks_its_promise_fails_with_its_traceback(
    tmp_path: Path, body: str, error: str
) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN.replace("BODY", body))
    payload = first_payload(tmp_path, pretrains, plugins=(plugin,), strategies=["broken"], tasks=["stroke"])
    executor = InlineExecutor()
    executor.submit(payload)
    event = executor.next_event(0)
    assert event is not None
    assert event.outcome["status"] == "failed"
    assert error in event.outcome["error"]
    assert "Traceback" in event.outcome["traceback"]
    assert not (Path(payload["run"]) / "trials").exists()


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_a_failure(score: float) -> None:
    with pytest.raises(ValueError, match="training diverged"):
        primary_score(Stroke(), FittedModel(None, {"mean_r2": score}))
    with pytest.raises(ValueError, match="judged by 'mean_r2'"):
        primary_score(Stroke(), FittedModel(None, {"r2": 0.1}))


def predictions(**changes: Any) -> Predictions:
    values = {"ink": np.array([1.0, 2.0])}
    return Predictions(
        **{"patients": ["p", "q"], "scans": ["a", "b"], "targets": values, "predictions": values, **changes}
    )


def test_records_are_long_and_typed() -> None:
    frames = prediction_tables("k", predictions(scores={"psnr": np.array([30, 31])}))
    assert frames["predictions"].rows() == [
        ("k", "p", "a", "ink", 1.0, 1.0, None),
        ("k", "q", "b", "ink", 2.0, 2.0, None),
    ]
    assert frames["scores"].rows() == [("k", "p", "a", "psnr", 30.0), ("k", "q", "b", "psnr", 31.0)]


def test_a_prediction_that_could_not_be_made_is_null_beside_its_fallback() -> None:
    made = predictions(predictions={"ink": np.array([np.nan, 2.0])}, fallbacks={"ink": 1.5})
    assert prediction_tables("k", made)["predictions"].rows() == [
        ("k", "p", "a", "ink", 1.0, None, 1.5),
        ("k", "q", "b", "ink", 2.0, 2.0, 1.5),
    ]


def test_a_scan_without_a_target_leaves_no_record_of_the_measure() -> None:
    targets = {"ink": np.array([np.nan, 2.0])}
    made = predictions(targets=targets, predictions={"ink": np.array([np.nan, 2.0])}, fallbacks={"ink": 1.5})
    assert prediction_tables("k", made)["predictions"]["scan"].to_list() == ["b"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"fallbacks": {"ink": float("nan")}}, "fallback 'ink' = nan"),
        ({"fallbacks": {"blot": 1.0}}, "fallback 'blot'"),
        (
            {"predictions": {"ink": np.array([1.0, np.inf])}, "fallbacks": {"ink": 1.0}},
            "prediction 'ink' is not finite for 1 of 2 scans",
        ),
        (
            {"predictions": {"ink": np.array([1.0, np.nan])}},
            "prediction 'ink' is not finite for 1 of 2 scans",
        ),
        ({"predictions": {"ink": np.array([1.0])}}, "prediction 'ink' has 1 values"),
        ({"predictions": {}}, "targets and predictions name different measures"),
        ({"targets": {}, "predictions": {}}, "predicted nothing"),
        ({"scans": ["a"]}, "1 scan keys"),
        ({"scans": ["a", "a"]}, "scan 'a' is there twice"),
    ],
)
def test_records_that_cannot_be_right_are_refused(changes: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        prediction_tables("k", predictions(**changes))


def test_exhibits_are_described_and_stored_without_pickle(tmp_path: Path) -> None:
    image = np.arange(6).reshape(2, 3)
    panel = Panel("scan", image, "gray", "cm", (0, 5))
    files = exhibit_files([Exhibit("k", "Title", "the first", (panel,), 1.5, {"age": "40"})])
    (described,) = json.loads(files["exhibits.json"])
    assert (described["rule"], described["pixel_aspect"], described["facts"]) == (
        "the first",
        1.5,
        {"age": "40"},
    )
    (tmp_path / "e.npz").write_bytes(files["exhibits.npz"])
    with np.load(tmp_path / "e.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays[described["panels"][0]["array"]], image)
    flat = Panel("scan", image.ravel(), "gray", "cm", (0, 5))
    with pytest.raises(ValueError, match=r"panel 'scan' of exhibit 'k' has shape \(6,\)"):
        exhibit_files([Exhibit("k", "Title", "rule", (flat,))])


def test_signs_of_life_are_rare_and_curves_complete(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "k.json")
    for step in range(1, 1001):
        log(step, 1001, loss=1 / step)
    assert len(log.curves) == 1000
    assert read_sign_of_life(tmp_path / "k.json")["step"] < 1000  # type: ignore[index]
    log(1001, 1001, loss=0.0)
    assert read_sign_of_life(tmp_path / "k.json")["step"] == 1001  # type: ignore[index]
    log.clear()
    assert read_sign_of_life(tmp_path / "k.json") is None


def test_costs_are_those_of_the_block() -> None:
    cost = Cost()
    with measured(cost):
        ballast = np.ones(40 * 2**20 // 8)
        time.sleep(0.05)
    assert cost.wall_seconds >= 0.05
    assert 0 <= cost.cpu_seconds < 5
    assert cost.peak_memory_bytes > ballast.nbytes


def test_every_trial_starts_from_the_same_state() -> None:
    def draw() -> tuple[float, float]:
        return random.random(), float(np.random.random())  # noqa: S311, NPY002

    with prepared_process(seed=5, threads=1, libraries=("json",)):
        first = draw()
    draw()
    with prepared_process(seed=5, threads=1, libraries=()):
        assert draw() == first


def test_torch_is_seeded_where_the_domain_names_it() -> None:
    with prepared_process(seed=5, threads=1, libraries=("torch",)):
        torch = importlib.import_module("torch")
        first = torch.rand(3)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    with prepared_process(seed=5, threads=1, libraries=("torch",)):
        assert torch.equal(torch.rand(3), first)
