"""Every study of a run: its arms put together by base, by way of tuning and by design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.ablations.doses import doses
from reports.ablations.factorial import factorial
from reports.ablations.findings import Ablations
from reports.ablations.orders import ladders, order_means
from reports.ablations.removals import children, removals
from reports.ablations.study import ArmRun, Study
from reports.comparison import Comparison
from reports.endpoint import endpoint_of
from reports.frame import Run
from reports.sample import final_trials
from reports.statistics.intervals import estimate


def ablations(run: Run, comparison: Comparison, draws: int) -> list[Ablations]:
    """A study per base arm that has results, per way of tuning its derived arms and per design of a kind."""
    task = run.tasks[comparison.task]
    arms = [arm for arm in run.arms.values() if not arm.get("control")]
    declared = [
        arm for arm in run.main_arms.values() if arm.get("parent") in run.main_arms and arm.get("changes")
    ]
    runs = _numbered(arms)
    groups = dict.fromkeys([*runs, *((arm["parent"], True, 0) for arm in declared)])
    trials = final_trials(run, comparison.task, comparison.protocols[0])
    found = []
    for base, retuned, number in groups:
        own = runs.get((base, retuned, number), [])
        near = [arm for arm in declared if retuned and not number and arm["parent"] == base]
        names = [base, *(arm["name"] for arm, _ in own), *(arm["name"] for arm in near)]
        keys = list(dict.fromkeys(f"arm:{name}" for name in names))
        pairs = [(first, second) for first in keys for second in keys if first != second]
        endpoint = endpoint_of(run, task, trials, keys, pairs, draws=draws)
        if endpoint is None or keys[0] not in endpoint.sample.values:
            continue
        present = set(endpoint.sample.values)
        study = Study(
            endpoint,
            run.arms[base],
            [(arm, one) for arm, one in own if f"arm:{arm['name']}" in present],
            [arm for arm in near if f"arm:{arm['name']}" in present],
        )
        if study.runs or study.children:
            words = "retuned" if retuned else "frozen"
            found.append(_result(study, comparison, words, number))
    return found


def _runs(arm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The designs that an arm is a run of; a strategy of the suite may be one, too."""
    return list(arm.get("ablations") or filter(None, [arm.get("ablation")]))


def _numbered(arms: Sequence[Mapping[str, Any]]) -> dict[tuple[str, bool, int], list[ArmRun]]:
    """Runs by base, way of tuning, and how many designs of their kind there are before theirs."""
    designs: dict[tuple[str, bool, str], set[int]] = {}
    for arm in arms:
        for one in _runs(arm):
            kind = (one["base"], bool(arm.get("retuned")), one["design"])
            designs.setdefault(kind, set()).add(one.get("number", 0))
    found: dict[tuple[str, bool, int], list[ArmRun]] = {}
    for arm in arms:
        for one in _runs(arm):
            base, retuned = one["base"], bool(arm.get("retuned"))
            rank = sorted(designs[base, retuned, one["design"]]).index(one.get("number", 0))
            found.setdefault((base, retuned, rank), []).append((arm, one))
    return dict(sorted(found.items(), key=lambda item: item[0][2]))


def _result(study: Study, comparison: Comparison, hyperparameters: str, number: int) -> Ablations:
    return Ablations(
        comparison.task,
        comparison.title,
        comparison.protocols,
        study.endpoint.label,
        study.endpoint.direction,
        study.key,
        study.base["title"],
        estimate(study.endpoint.of(study.key))[0],
        removals(study),
        ladders(study),
        order_means(study),
        factorial(study),
        doses(study),
        children(study),
        hyperparameters,
        {f"arm:{arm['name']}": bool(arm.get("retuned")) for arm, _ in study.runs},
        number,
    )
