"""A short calibration: how long a trial will take, from its own beginning.

One trial of each kind whose time is unknown starts as it would in a run and is stopped after a few seconds.
Its reports of progress say how fast it goes. Results and weights of calibrations are thrown away.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.artifacts import ArtifactStore
from harness.journal import read_journal
from harness.measure import processor_name
from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.results import RunFolder
from harness.run import Prepared, Request, device_of, known_outcomes, prepare
from harness.timings import kind_of, read_timings, record_timing
from harness.trial import Attempt, make_payload

#: How long a trial is watched, from its first report on.
WATCHED_SECONDS = 10.0


class EnoughSeen(BaseException):  # noqa: N818 - no error, and no `except Exception` may swallow it
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

    Parameters
    ----------
    say
        Told what is calibrated, and what cannot be: a trial that needs weights which nobody has made yet.
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
        request.suite.cohort,
        request.cache,
        workers=request.workers,
        progress=lambda done, total, message: say(f"cohort {done}/{total}  {message}") if done == 1 else None,
    )
    for trial, artifact in _untimed(prepared, plan):
        if trial.spec.upstream and artifact is None:
            say(f"{trial.spec.label}: not calibrated, its weights are not there yet")
            continue
        say(f"{trial.spec.label}: {_watch(prepared, trial, artifact, watched_seconds)}")


def _untimed(prepared: Prepared, plan: Plan) -> Iterator[tuple[Trial, str | None]]:
    """One trial per unknown kind, with the digest of the weights that it starts from."""
    request, run = prepared.request, RunFolder(prepared.request.output)
    done, _ = known_outcomes(plan, run, request.cache, read_journal(run.journal), adopt=False)
    policy = Policy(plan, done)
    seen = set(
        read_timings(
            request.cache,
            machine=processor_name(),
            device=device_of(plan.suite),
            threads=plan.suite.resources.threads,
        )
    )
    candidates = [trial for key, trial in policy.trials.items() if policy.states[key] != "done"]
    for strategy, task in plan.tuning:
        candidates += plan.finals(strategy, task, plan.tasks[task].space.defaults(), draw=None, protocols=())
    for trial in candidates:
        kind = kind_of(trial.spec)
        if kind not in seen:
            seen.add(kind)
            yield trial, policy.artifact_of(trial)


def _watch(prepared: Prepared, trial: Trial, artifact: str | None, seconds: float) -> str:
    """Run the beginning of `trial` in a temporary run folder; returns what came of it, in words."""
    request = prepared.request
    with tempfile.TemporaryDirectory(prefix="harness-calibration-") as folder:
        payload = make_payload(
            trial.spec,
            run=Path(folder) / "run",
            cache=request.cache.resolve(),
            cohort_folder=prepared.cohort.folder.resolve(),
            plugins=request.plugins,
            artifact=artifact,
            draw=None,
            protocols=[],
            device=device_of(request.suite),
            threads=request.suite.resources.threads,
        )
        return _time_it(payload, request.cache, Path(folder), seconds)


def _time_it(payload: dict[str, Any], cache: Path, folder: Path, seconds: float) -> str:
    attempt = Attempt(payload)
    watch = Watch(seconds)
    attempt.log = watch
    attempt.throw_away = True
    started = time.perf_counter()
    cpu = time.process_time()
    try:
        attempt.work()
        whole: float | None = time.perf_counter() - started
        extrapolated = False
    except EnoughSeen:
        whole, extrapolated = watch.whole_seconds(), True
    except Exception as error:
        return f"not calibrated, it fails: {type(error).__name__}: {error}"
    if whole is None:
        return "not calibrated, it reported no progress"
    busy = (time.process_time() - cpu) / max(time.perf_counter() - started, 1e-9)
    row = {**attempt.row, "wall_seconds": whole, "cpu_seconds": busy * whole}
    record_timing(cache, attempt.spec, row, machine=processor_name(), extrapolated=extrapolated)
    return f"{whole:.1f} s" + (" (extrapolated)" if extrapolated else "")
