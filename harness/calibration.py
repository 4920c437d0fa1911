"""A short calibration: how long a trial will take, from its own beginning.

One trial of each kind whose time is unknown starts as it would in a run and is stopped after a few seconds.
Its reports of progress say how fast it goes. Results and weights of calibrations are thrown away.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.artifacts import ArtifactStore
from harness.door import Door
from harness.journal import read_journal
from harness.measure import processor_name
from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.price.timings import kind_of, read_timings, record_timing
from harness.recovery import policy_as_it_stands
from harness.request import Request
from harness.results import RunFolder
from harness.run import Prepared, prepare
from harness.trial import make_payload
from harness.trial.attempt import Attempt
from harness.trial.produced import Produced
from registry.contracts import Artifact

#: How long a trial is watched, from its first report on.
WATCHED_SECONDS = 10.0


class EnoughSeen(BaseException):
    """Ends a trial that has been watched for long enough."""


@dataclass
class Watch:
    """Takes the place of a trial's progress log and works out how long all of it takes.

    Parameters
    ----------
    seconds
        How long to watch, from the first report on.
    clock
        Where the time comes from.
    """

    seconds: float = WATCHED_SECONDS
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self.curves: list[tuple[int, str, float]] = []
        self._began = self.clock()
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int, int] | None = None

    def __call__(self, step: int, steps: int, **_: float) -> None:
        """Note the time of a report."""
        now = self.clock()
        if self._first is None:
            self._first = (now, step)
        self._last = (now, step, steps)
        if now - self._first[0] >= self.seconds and self._first[1] < step < steps:
            raise EnoughSeen

    def clear(self) -> None:
        """Nothing to take away."""

    def whole_seconds(self) -> float | None:
        """What the trial takes from start to end, at the speed that was seen; `None` if none was.

        Examples
        --------
        A start of 2 s, then 1 s per step:

        >>> times = iter([0.0, 2.0, 3.0, 4.0])
        >>> watch = Watch(seconds=9.0, clock=lambda: next(times))
        >>> for step in (1, 2, 3): watch(step, 10)
        >>> watch.whole_seconds()
        11.0
        """
        if self._first is None or self._last is None or self._last[1] <= self._first[1]:
            return None
        now, step, steps = self._last
        per_step = (now - self._first[0]) / (step - self._first[1])
        return now - self._began + per_step * (steps - step)


def calibrate(
    request: Request, *, say: Callable[[str], None], watched_seconds: float = WATCHED_SECONDS
) -> None:
    """Time one trial of every kind that is to run and was never timed on this machine.

    A trial that learns from weights which nobody has made yet takes those of another arm of the suite, as
    far as there are any: the network is the same, its values do not matter.

    Parameters
    ----------
    say
        Told what is calibrated, and what cannot be.
    watched_seconds
        How long each trial runs after its first report.

    Raises
    ------
    InputError
        If anything in the request is wrong.
    """
    prepared = prepare(request)
    plan = prepared.plan()
    prepared.domain.prepare(
        request.suite.cohort, request.cache, workers=request.workers, progress=lambda *_: None
    )
    run = RunFolder(request.output)
    policy, _ = policy_as_it_stands(plan, run, request.cache, read_journal(run.journal))
    with tempfile.TemporaryDirectory(prefix="harness-calibration-") as folder:
        session = _Session(prepared, plan, Path(folder), watched_seconds)
        for trial in [one for one in policy.trials.values() if one.stage == "pretrain"]:
            if (artifact := policy.artifact_of(trial)) is not None:
                session.weights[trial.arm] = artifact
        for trial in _untimed(plan, policy, request.cache):
            say(f"{trial.label}: {session.time(trial)}")


def _untimed(plan: Plan, policy: Policy, cache: Path) -> Iterator[Trial]:
    """One trial per unknown kind, pretraining first."""
    seen = set(read_timings(cache, machine=processor_name()))
    candidates = [trial for key, trial in policy.trials.items() if policy.states[key] != "done"]
    candidates += [trial for trial, _, _ in policy.decisions.unnamed()]
    for trial in candidates:
        kind = _kind(plan, trial)
        if kind not in seen and not trial.condition.split:  # repeated splits are not made for this
            seen.add(kind)
            yield trial


def _kind(plan: Plan, trial: Trial) -> str:
    device, threads = plan.resources(trial).device, plan.suite.resources.threads
    return kind_of(trial.spec, device=device, threads=threads)


@dataclass
class _Session:
    """One calibration: where its trials run, and which weights there are by now."""

    prepared: Prepared
    plan: Plan
    folder: Path
    watched_seconds: float
    weights: dict[str, str] = field(default_factory=dict)

    def time(self, trial: Trial) -> str:
        """Run the beginning of `trial` and record what all of it takes; returns that in words."""
        artifact, note = None, ""
        if trial.spec.upstream:
            artifact, note = self._weights_for(trial)
            if artifact is None:
                return "not calibrated, there are no weights that it could start from"
        watch = Watch(self.watched_seconds)
        beginning = Beginning(self._payload(trial, artifact), self.folder, watch)
        try:
            beginning.work()
            whole: float | None = beginning.row["wall_seconds"]
            extrapolated = False
        except EnoughSeen:
            whole, extrapolated = watch.whole_seconds(), True
        except Exception as error:
            return f"not calibrated, it fails: {type(error).__name__}: {error}"
        if whole is None:
            return "not calibrated, it made no step while it was watched"
        if trial.stage == "pretrain" and not extrapolated:
            self.weights[trial.arm] = beginning.row["artifact"]
        seen = max(beginning.row["wall_seconds"], 1e-9)
        row = {
            **beginning.row,
            "wall_seconds": whole,
            "cpu_seconds": beginning.row["cpu_seconds"] * whole / seen,
        }
        extrapolated = extrapolated or bool(note)
        record_timing(self.prepared.request.cache, trial.spec, row, extrapolated=extrapolated)
        return f"{whole:.1f} s{' (extrapolated)' if extrapolated else ''}{note}"

    def _weights_for(self, trial: Trial) -> tuple[str | None, str]:
        """Weights to start from: the arm's own, else of an arm that this task takes, with a note."""
        own = self.plan.arms[trial.arm].weights_of
        if own in self.weights:
            return self.weights[own], ""
        task = self.plan.tasks[str(trial.spec.task)]
        for arm, artifact in self.weights.items():
            if task.applies(self.plan.arms[arm].card)[0]:
                return artifact, f", with weights of {arm}"
        return None, ""

    def _payload(self, trial: Trial, artifact: str | None) -> dict[str, Any]:
        request = self.prepared.request
        return make_payload(
            trial.spec,
            arm=trial.arm,
            run=self.folder / "run",
            cache=request.cache.resolve(),
            cohort_folder=self.prepared.learning_folder(trial.condition.split),
            plugins=request.plugins,
            artifact=artifact,
            draw=None,
            protocols=[],
            resources=self.plan.resources(trial),
            threads=request.suite.resources.threads,
            execution=self.plan.execution,
        )


class Beginning(Attempt):
    """A trial that is watched for a while: it keeps nothing, and sees no test scan."""

    def __init__(self, payload: dict[str, Any], folder: Path, watch: Watch) -> None:
        super().__init__(payload, lambda _: watch)
        self.store = _TwoStores(folder, self.cache)

    def open_test(self, door: Door, part: str) -> Any:
        """Predicting takes as long per scan wherever the scans come from."""
        return door.learning_view(part, "validation")

    def keep(self, produced: Produced) -> None:
        """Leave nothing."""
        shutil.rmtree(self.scratch, ignore_errors=True)


class _TwoStores(ArtifactStore):
    """Weights are saved in a temporary folder, and read from there or from the cache."""

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder)
        self._cache = ArtifactStore(cache)

    def load(self, digest: str) -> Artifact:
        return super().load(digest) if self.has(digest) else self._cache.load(digest)
