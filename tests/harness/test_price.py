"""What a suite costs: timings that were recorded, added up; nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.calibration import EnoughSeen, Watch, calibrate
from harness.door import Door
from harness.executors.simulated import SimulatedExecutor
from harness.outlook import look_ahead
from harness.plan import Trial
from harness.policy import Outcome, Policy
from harness.price.price import Cluster, parse_cluster, price_of
from harness.price.timings import FILE, Timing, kind_of, read_timings, record_timing
from harness.price.work import work_of
from harness.specs import TrialSpec
from registry.contracts import InputError
from tests.harness.digits_run import digits_request, run_inline
from tests.harness.toys import toy_plan, toy_task

SPEC = TrialSpec("tune", "toy", {"steps": 3}, seed=0, strategy="s", task="t", cohort="c")


def row(seconds: float, **changes: Any) -> dict[str, Any]:
    values = {"device": "cpu", "threads": 1, "processor": "here", "cpu_seconds": seconds}
    return {**values, "wall_seconds": seconds, **changes}


def kind(spec: TrialSpec = SPEC) -> str:
    return kind_of(spec, device="cpu", threads=1)


def test_a_kind_is_everything_but_seeds_and_hyperparameters() -> None:
    other = {"seed": 7, "pretraining_seed": 3, "hyperparameters": {"rate": 1.0}, "upstream": ("k",)}
    assert kind(TrialSpec(**{**SPEC.as_dict(), **other})) == kind()
    for change in ({"settings": {"steps": 4}}, {"cohort": "d"}, {"task_version": "2"}, {"stage": "final"}):
        assert kind(TrialSpec(**{**SPEC.as_dict(), **change})) != kind()
    assert kind_of(SPEC, device="cuda", threads=1) != kind()


def test_timings_are_means_of_this_machine_alone(tmp_path: Path) -> None:
    for seconds in (10.0, 20.0):
        record_timing(tmp_path, SPEC, row(seconds))
    record_timing(tmp_path, SPEC, row(1.0, processor="elsewhere"))
    record_timing(tmp_path, SPEC, row(99.0), extrapolated=True)
    assert read_timings(tmp_path, machine="here") == {kind(): Timing(15.0, 15.0, 2)}
    assert read_timings(tmp_path, machine="nowhere") == {}
    assert read_timings(tmp_path / "none", machine="here") == {}


def test_an_extrapolation_counts_until_something_is_measured(tmp_path: Path) -> None:
    record_timing(tmp_path, SPEC, row(99.0), extrapolated=True)
    assert read_timings(tmp_path, machine="here")[kind()] == Timing(99.0, 99.0, 0)


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    record_timing(tmp_path, SPEC, row(10.0))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"kind": "torn')
    assert read_timings(tmp_path, machine="here")[kind()].trials == 1


def simulated_price(plan: Any, seconds: Any, slots: int) -> tuple[Any, SimulatedExecutor]:
    """The price of a plan, and the same plan run on the simulated executor."""
    work = work_of(plan, Policy(plan))
    timings = {}
    for trial in [*Policy(plan).trials.values(), *_some_finals(plan)]:
        timings[kind(trial.spec)] = Timing(seconds(trial), seconds(trial), 1)
    policy = Policy(plan)
    executor = SimulatedExecutor(lambda payload: seconds(payload["trial"]), lambda _: {}, slots)
    under_way = 0
    while not policy.finished:
        while under_way < slots and (trial := policy.next_trial()) is not None:
            executor.submit({"key": trial.key, "trial": trial})
            under_way += 1
        event = executor.next_event(1.0)
        assert event is not None
        under_way -= 1
        # every arm likes another draw, so that no two protocols share a final trial
        trial = policy.trials[event.key]
        score = -abs((trial.draw or 0) - int(trial.arm[1:] or 0)) if trial.arm else 0.0
        policy.complete(event.key, Outcome("done", score, artifact="a"))
    price = price_of(work, timings, slots=slots)
    return price, executor


def _some_finals(plan: Any) -> list[Trial]:
    return [next(iter(plan.finals(place, {}, draw=None, protocols=()))) for place in plan.tuning]


@pytest.mark.parametrize("slots", [1, 2, 7])
def test_the_time_is_that_of_a_simulated_run(slots: int) -> None:
    """The bound that is printed is at most what the policy needs, and close to it."""
    plan = toy_plan(4, [toy_task(f"t{i}", baselines=("mean",)) for i in range(3)], budget={"draws": 5})
    lasts = {"pretrain": 5.0, "tune": 2.0, "final": 3.0}
    price, executor = simulated_price(plan, lambda trial: lasts[trial.stage], slots)
    # shared selections (an arm's own best is also the matched one) make a run cheaper, never dearer
    assert executor.busy_seconds <= price.cpu_hours * 3600 + 1e-6
    assert price.wall_hours * 3600 >= price.cpu_hours * 3600 / slots - 1e-6
    assert executor.clock <= 1.25 * price.wall_hours * 3600


def test_a_chain_bounds_the_time_whatever_the_slots() -> None:
    plan = toy_plan(1, 1, budget={"draws": 1})
    lasts = {"pretrain": 50.0, "tune": 20.0, "final": 3.0}
    price, executor = simulated_price(plan, lambda trial: lasts[trial.stage], 100)
    assert executor.clock == pytest.approx(price.wall_hours * 3600) == 73.0


def test_stages_are_priced_by_their_own_resources() -> None:
    plan = toy_plan(2, 1, resources={"cpus": 1, "pretrain": {"gpus": 0.5, "cpus": 2}})
    work = work_of(plan, Policy(plan))
    timings = {one.kind: Timing(3600.0, 0.0, 1) for one in work}
    slots = Cluster(cpus=8, gpus=2).slots(plan.shapes)
    assert slots == {"pretrain": 4, "tune": 8, "final": 8}
    price = price_of(work, timings, slots=slots)
    assert (price.cpu_hours, price.gpu_hours) == (2 * 2 + 6 + 8, 1.0)
    assert price.wall_hours == 3.0  # the chain: 2 / 4 + 14 / 8 is less


def test_clusters_are_read_and_refused() -> None:
    assert parse_cluster("cpus=64, gpus=8") == Cluster(64, 8)
    for wrong in ("64", "gpus=8", "cpus=many", "cpus=-1", "cpus=4,tpus=1", "cpus=inf", ""):
        with pytest.raises(InputError, match="cannot be read"):
            parse_cluster(wrong)
    with pytest.raises(InputError, match="one trial needs 1 CPUs and 1 GPUs"):
        Cluster(4).slots(toy_plan(resources={"gpus": 1.0}).shapes)


def test_a_run_is_priced_from_what_it_ran(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    before = look_ahead(request)
    assert before.price.priced == 0
    assert "tune principal_components / stroke" in before.price.unknown
    run_inline(request)
    assert look_ahead(request).price.trials == 0
    again = look_ahead(digits_request(tmp_path, output="another", seeds={"final": [5, 6, 7]}))
    assert again.price.priced == again.price.trials > 0
    assert again.price.unknown == ()
    assert again.price.cpu_hours > 0
    # another cohort is another kind
    other = look_ahead(digits_request(tmp_path, output="other", cohort={"patients": 24}))
    assert "tune principal_components / stroke" in other.price.unknown


def test_calibration_prices_a_suite_and_leaves_nothing_else(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    said: list[str] = []
    calibrate(request, say=said.append)
    outlook = look_ahead(request)
    assert outlook.price.priced == outlook.price.trials == sum(outlook.counts.values())
    assert outlook.counts["done"] == outlook.counts["cached"] == 0
    assert any(line.startswith("final whitened_components / stroke seed 0: ") for line in said)
    assert not request.output.exists()
    assert {path.name for path in request.cache.iterdir()} == {"cohorts", "learning", FILE}
    said.clear()
    calibrate(request, say=said.append)
    assert said == []  # everything has been timed


SLOW = """
import time
from tests.domains.digits import RandomProjection
from registry.contracts import Artifact, Strategy, strategy

@strategy("slow", provides={"encoder"}, domain="digits")
class Slow(Strategy):
    def pretrain(self, context):
        for step in range(1000):
            time.sleep(0.01)
            context.report(step + 1, 1000)
        raise AssertionError("watched for too long")

@strategy("broken", provides={"encoder"}, domain="digits")
class Broken(Strategy):
    def pretrain(self, context):
        raise RuntimeError("it breaks")
"""


def test_a_long_trial_is_watched_for_a_moment(tmp_path: Path) -> None:
    plugin = tmp_path / "slow.py"
    plugin.write_text(SLOW)
    request = digits_request(tmp_path, plugins=(plugin,), strategies=["slow", "broken"], tasks=["stroke"])
    said: list[str] = []
    calibrate(request, say=said.append, watched_seconds=0.2)
    by_label = dict(line.split(": ", 1) for line in said)
    words = by_label["pretrain slow seed 0"]
    assert words.endswith(" s (extrapolated)")
    assert float(words.split()[0]) > 9  # 10 s are slept; how much more is the machine's affair
    assert by_label["pretrain broken seed 0"] == "not calibrated, it fails: RuntimeError: it breaks"
    assert by_label["tune slow / stroke seed 100"].startswith("not calibrated, there are no weights")


def test_a_watch_without_progress_says_so() -> None:
    watch = Watch(0.0)
    watch(1, 1)
    assert watch.whole_seconds() is None
    with pytest.raises(EnoughSeen):
        second = Watch(0.0)
        second(1, 3)
        second(2, 3)


def test_a_final_trial_is_calibrated_without_opening_the_test_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Door, part: str) -> Any:
        raise AssertionError("the test split was opened")

    monkeypatch.setattr(Door, "open_test", refuse)
    said: list[str] = []
    calibrate(digits_request(tmp_path), say=said.append)
    finals = [line for line in said if line.startswith("final")]
    assert len(finals) == 7
    assert not [line for line in finals if "not calibrated" in line]
