"""The checks of a task."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl

from harness.conditions import Place
from harness.conformance.finding import Findings
from harness.conformance.laboratory import SEEDS, Laboratory, Observation
from harness.conformance.shared import judge_manners, judge_resources, judge_resuming, judge_work
from harness.results import table
from harness.specs import TrialSpec
from registry.contracts import Task

#: Of the finals, where measured values and scores per scan are.
_TABLES = ("predictions", "scores")


def examine_task(findings: Findings, laboratory: Laboratory, name: str) -> None:
    """Check the task `name`, as far as it works at all."""
    plan, task = laboratory.plan, laboratory.plan.tasks[name]
    upstream = next(iter(plan.pretraining.values())).spec
    start = laboratory.observe("start", [upstream])
    if not judge_work(findings, start, mend="check this strategy first; the task was given no weights"):
        return
    findings.clear()  # the partner's work is no finding about the task
    artifact = start.outcomes[0]["row"]["artifact"]
    final = _final_specs(laboratory, name, upstream)
    learning = dataclasses.replace(final[0], stage="tune")
    _share_artifacts(laboratory, "learning", "first", "second", "restored", "resumed")

    tuned = laboratory.observe("learning", [learning], artifact=artifact)
    mend = "make it run on the tiny data; fit() returns a FittedModel with the primary metric in `validation`"
    if not judge_work(findings, tuned, mend=mend):
        if tuned.seen:
            judge_manners(findings, laboratory, tuned)
        return
    baselines = [trial.spec for trial in plan.fixed if trial.spec.baseline is not None]
    first = laboratory.observe(
        "first", [*final, *baselines], artifact=artifact, test_is_closed=False, keep_models=True
    )
    if not findings.judge(
        "predicts the test split",
        not first.failure,
        seen=f"{len(final)} final trials and {len(baselines)} of baselines",
        otherwise=first.failure,
        mend="predict() and predict_baseline() return Predictions: equally long, finite or with `fallbacks`",
    ):
        return
    _judge_predictions(findings, laboratory, task, final[0])
    second = laboratory.observe("second", final[::-1], artifact=artifact, test_is_closed=False)
    same = not second.failure and all(
        _records(laboratory, "first", spec) == _records(laboratory, "second", spec) for spec in final
    )
    findings.judge(
        "same seed, same predictions",
        same,
        seen="in another process, in another order",
        otherwise=second.failure or "another process predicted otherwise from the same seed",
        mend="draw every random number from context.seed; iterate over sorted lists, never over sets",
    )
    findings.judge(
        "validation scores do not depend on test data",
        _scores(tuned)[0] == _scores(first)[0],
        seen="equal with and without the test files",
        otherwise=f"{_scores(tuned)[0]} without the test files, {_scores(first)[0]} with them",
        mend="open the splits 'train' and 'validation' alone in fit(), with context.open_split; "
        "draw every random number from context.seed",
    )
    _judge_seeds(findings, laboratory, task, final)
    _judge_restoring(findings, laboratory, final[0], artifact)
    judge_manners(findings, laboratory, tuned)
    judge_resources(findings, laboratory, first, task.card.resources)
    judge_resuming(findings, laboratory, learning, artifact=artifact, result=_scores, expected=_scores(tuned))


def _final_specs(laboratory: Laboratory, name: str, upstream: TrialSpec) -> list[TrialSpec]:
    """Final trials with the declared hyperparameters and every seed, also where the plan would need one."""
    plan = laboratory.plan
    hyperparameters = plan.tasks[name].space.defaults()
    found = plan.finals(Place(str(upstream.strategy), name), hyperparameters, draw=None, protocols=())
    spec = next(trial.spec for trial in found if trial.spec.upstream == (upstream.key,))
    return [dataclasses.replace(spec, seed=seed) for seed in SEEDS]


def _share_artifacts(laboratory: Laboratory, *places: str) -> None:
    for place in places:
        (laboratory.folder / place).mkdir()
        laboratory.cache(place).symlink_to(laboratory.cache("start"), target_is_directory=True)


def _records(laboratory: Laboratory, place: str, spec: TrialSpec) -> list[Any]:
    """Every number that a final trial predicted."""
    return [found.drop("key").rows() for found in _tables(laboratory, place, spec)]


def _tables(laboratory: Laboratory, place: str, spec: TrialSpec) -> list[pl.DataFrame]:
    """Measured values and scores of a final trial; an empty table is not written."""
    files = {name: laboratory.results(place, spec) / f"{name}.parquet" for name in _TABLES}
    return [pl.read_parquet(file) if file.is_file() else table(name, ()) for name, file in files.items()]


def _scores(observation: Observation) -> list[Any]:
    return [outcome["row"]["validation"] for outcome in observation.outcomes]


def _judge_predictions(findings: Findings, laboratory: Laboratory, task: Task, spec: TrialSpec) -> None:
    """What was declared against what was delivered: every scan of the split, every row of every table."""
    predictions, scores = _tables(laboratory, "first", spec)
    names = {"predictions": set(predictions["measure"]), "scores": set(scores["metric"])}
    scans = set(predictions["scan"]) | set(scores["scan"])
    expected = laboratory.sizes[task.card.part]["test"].scans
    findings.judge(
        "predicts every scan once",
        len(scans) == expected,
        seen=f"{expected} scans of the test split",
        otherwise=f"{len(scans)} of {expected} scans of the test split",
        mend="return one value per scan of the split that predict() was given",
    )
    layouts = task.layouts()
    absent = [
        f"{row.key} (table {layout.key})"
        for layout in layouts
        for row in layout.rows
        if row.key not in names[layout.source]
    ]
    absent += [
        f"{row} (primary endpoint)"
        for row in task.card.primary.rows
        if row not in names["predictions"] | names["scores"]
    ]
    findings.judge(
        "delivers the declared rows",
        bool(layouts) and not absent,
        seen=", ".join(f"{layout.key}: {len(layout.rows)} rows" for layout in layouts),
        otherwise=f"declared and not delivered: {', '.join(absent)}" if layouts else "layouts() is empty",
        mend="name rows in layouts() and in the primary endpoint as the predictions or scores are named",
    )


def _judge_restoring(findings: Findings, laboratory: Laboratory, spec: TrialSpec, artifact: str) -> None:
    """What `keep` hands out is enough for `restore`, in a process that fitted nothing."""
    check = "a kept model predicts the same"
    if not (laboratory.results("first", spec) / "model.json").is_file():
        findings.leave_out(check, "keep() hands out no model; `harness predict` cannot apply it to new data")
        return
    again = laboratory.observe(
        "restored", [spec], artifact=artifact, test_is_closed=False, restore_from="first"
    )
    same = not again.failure and _records(laboratory, "first", spec) == _records(laboratory, "restored", spec)
    findings.judge(
        check,
        same,
        seen="built again in another process from its weights",
        otherwise=again.failure or "the model that restore() built predicted otherwise",
        mend="implement restore(context, kept) so that it builds the very model whose weights and facts "
        "keep(context, model) handed out",
    )


def _judge_seeds(findings: Findings, laboratory: Laboratory, task: Task, final: list[TrialSpec]) -> None:
    trains = task.card.trains
    one, other = (_records(laboratory, "first", spec) for spec in final)
    findings.judge(
        "another seed, other predictions" if trains else "another seed, the same predictions",
        (one != other) == trains,
        seen="as declared",
        otherwise=f"trains = {trains} is declared, and another seed predicted "
        f"{'otherwise' if one != other else 'the same'}",
        mend="draw what is random from context.seed, or declare trains=False where nothing is"
        if trains
        else "declare trains=True: it is then run once per final seed",
    )
