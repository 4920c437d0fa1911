"""The state of every cell and trial before a run: done, cached, to run, blocked, N/A."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from harness.caveats import caveats
from harness.collector import paused_collector
from harness.evidence import TaskEvidence, evidence_of, warnings_of
from harness.journal import read_journal
from harness.measure import processor_name
from harness.openings import Openings, openings_of
from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.price.price import Cluster, Price, price_of, this_machine
from harness.price.throughput import Estimate, Throughput, estimate
from harness.price.timings import read_timings
from harness.price.work import work_of
from harness.recovery import policy_as_it_stands
from harness.request import Request
from harness.results import RunFolder
from harness.run import prepare
from harness.specs import Stage
from registry.contracts import InputError

TrialState = Literal["done", "cached", "to run", "blocked"]
STATES: tuple[TrialState, ...] = ("done", "cached", "to run", "blocked")


@dataclass(frozen=True)
class CellOutlook:
    """One row of the plan: a cell, a strategy's pretraining (task empty), or a task's baselines."""

    task: str
    strategy: str
    applicable: bool
    counts: dict[TrialState, int]
    note: str


@dataclass(frozen=True)
class TrialOutlook:
    """One trial that is known by now."""

    key: str
    label: str
    stage: str
    draw: int | None
    state: TrialState
    note: str


@dataclass(frozen=True)
class Outlook:
    """What a suite would run, what that costs, and what it can prove.

    Parameters
    ----------
    estimate
        Of the trials without a price, by stated throughput where some was given.
    evidence
        Per task, what the seeds can say.
    warnings
        What to know before compute is spent.
    caveats
        What the suite's own choices take away from its conclusions.
    test_openings
        Of this cohort's test split so far, by all runs with this cache.
    """

    suite: str
    cohort: str
    counts: dict[TrialState, int]
    cells: list[CellOutlook]
    trials: list[TrialOutlook]
    price: Price
    estimate: Estimate | None
    evidence: list[TaskEvidence]
    warnings: list[str]
    caveats: list[str]
    test_openings: Openings


@paused_collector()
def look_ahead(
    request: Request,
    *,
    cluster: Cluster | None = None,
    slots: int | None = None,
    throughput: Throughput | None = None,
) -> Outlook:
    """Plan a request against what its run folder and the cache hold; writes nothing.

    Parameters
    ----------
    cluster, slots
        Where the work would be done, or how many trials at once; on this machine unless given.
    throughput
        What somebody states about trials that were never timed here.

    Raises
    ------
    InputError
        If anything in the request is wrong.
    """
    prepared = prepare(request)
    plan = prepared.plan()
    run = RunFolder(request.output)
    history = read_journal(run.journal)
    policy, known = policy_as_it_stands(plan, run, request.cache, history)
    states = trial_states(policy, known.cached, history.last_failures())
    trials = [
        TrialOutlook(key, trial.label, trial.stage, trial.draw, *states[key])
        for key, trial in policy.trials.items()
    ]
    unselected = _unselected(policy)
    timings = read_timings(request.cache, machine=processor_name())
    evidence = evidence_of(plan, run)
    at_once, too_large = _slots(plan, cluster, slots)
    counts: Counter[TrialState] = Counter(trial.state for trial in trials)
    counts["to run"] += unselected.total()
    work = work_of(plan, policy, timed=bool(timings))
    price = price_of(work, timings, slots=at_once)
    return Outlook(
        suite=plan.suite.name,
        cohort=prepared.cohort.fingerprint,
        counts={state: counts[state] for state in STATES},
        cells=_cells(plan, policy, states, unselected),
        trials=trials,
        price=price,
        estimate=estimate(throughput, work, price.unknown, slots=at_once) if throughput else None,
        evidence=evidence,
        warnings=[*too_large, *warnings_of(evidence)],
        caveats=caveats(plan),
        test_openings=openings_of(request.cache, prepared.cohort.fingerprint),
    )


def _slots(
    plan: Plan, cluster: Cluster | None, slots: int | None
) -> tuple[dict[Stage, int] | int, list[str]]:
    """How many trials at once; a plan for larger machines is a plan, and says that it is not for this one."""
    if slots is not None:
        return slots, []
    if cluster is not None:
        return cluster.slots(plan.shapes), []
    try:
        return this_machine().slots(plan.shapes), []
    except InputError as error:
        what = error.message.replace("the cluster has", "this machine has")
        return 1, [f"{what}: it cannot run here; priced at one trial at a time (--cluster says on what else)"]


def trial_states(
    policy: Policy, cached: set[str], failures: dict[str, str]
) -> dict[str, tuple[TrialState, str]]:
    """State of every known trial, with a note where there is something to say.

    A trial whose pretraining failed last time is blocked: it runs if that succeeds this time.
    """
    states: dict[str, tuple[TrialState, str]] = {}
    for key, trial in policy.trials.items():
        broken = next((upstream for upstream in trial.spec.upstream if upstream in failures), None)
        if policy.states[key] == "done":
            states[key] = ("cached" if key in cached else "done", "")
        elif broken is not None:
            states[key] = ("blocked", f"{policy.trials[broken].label} failed: {failures[broken]}")
        elif key in failures:
            states[key] = ("to run", f"failed before: {failures[key]}")
        else:
            states[key] = ("to run", "")
    return states


def _unselected(policy: Policy) -> Counter[tuple[str, str]]:
    """By arm and task, how many trials wait for a selection."""
    counts: Counter[tuple[str, str]] = Counter()
    for trial, count, _ in policy.decisions.unnamed():
        counts[trial.arm, trial.spec.task or ""] += count
    return counts


def _cells(
    plan: Plan,
    policy: Policy,
    states: dict[str, tuple[TrialState, str]],
    unselected: Counter[tuple[str, str]],
) -> list[CellOutlook]:
    """Pretraining rows first, then every cell, then baselines."""
    grouped: dict[tuple[str, str], list[Trial]] = {}
    for trial in policy.trials.values():
        task = trial.spec.task or ""
        grouped.setdefault((task, trial.arm or "baselines"), []).append(trial)
    lines = [
        _line("", strategy, grouped[task, strategy], states, unselected[strategy, ""])
        for task, strategy in grouped
        if not task
    ]
    for cell in plan.cells:
        if not cell.applicable:
            empty = dict.fromkeys(STATES, 0)
            lines.append(CellOutlook(cell.task, cell.strategy, False, empty, f"N/A: {cell.reason}"))
            continue
        trials = grouped.get((cell.task, cell.strategy), [])
        waiting = unselected[cell.strategy, cell.task]
        lines.append(_line(cell.task, cell.strategy, trials, states, waiting))
    lines += [
        _line(task, arm, trials, states, 0) for (task, arm), trials in grouped.items() if arm == "baselines"
    ]
    return lines


def _line(
    task: str,
    strategy: str,
    trials: list[Trial],
    states: dict[str, tuple[TrialState, str]],
    unselected: int,
) -> CellOutlook:
    counts: Counter[TrialState] = Counter(states[trial.key][0] for trial in trials)
    counts["to run"] += unselected
    notes = [states[trial.key][1] for trial in trials if states[trial.key][1]]
    return CellOutlook(
        task or "(pretraining)",
        strategy,
        True,
        {state: counts[state] for state in STATES},
        notes[0] if notes else "",
    )
