"""What a run says about itself: `run.json`, `layouts.json` and the rows of the trials table.

The fields are documented in `docs/records.md`.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.arms import DerivedDesign
from harness.caveats import caveats
from harness.files import canonical_json, write_json
from harness.measure import processor_name
from harness.openings import openings_of
from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.results import SCHEMA, TABLES, RunFolder, read_result
from harness.source import source_commit
from harness.specs import PROTOCOLS
from registry.ablation import attributions
from registry.contracts import CohortReference, Domain, SplitSize, StrategyCard

DISTRIBUTION = "pretraining-harness"
#: Recorded where the package itself is not installed and cannot say what it requires.
USUAL_PACKAGES = ("numpy", "polars", "ray", "safetensors", "scikit-learn", "scipy", "torch")
DETERMINISM = (
    "Hyperparameter draws and seeds are functions of the suite. Trials run with deterministic algorithms "
    "where the libraries have them and a fixed number of threads: the same suite on the same machine gives "
    "the same numbers; other processors or library versions may differ in the last digits."
)


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What `run.json` holds besides the plan and its outcome."""

    domain: Domain
    cohort: CohortReference
    sizes: Mapping[str, Mapping[str, SplitSize]]
    overlap: Sequence[Mapping[str, Any]]
    command: str
    started: str
    device: str
    cache: Path


def write_layouts(run: RunFolder, plan: Plan) -> None:
    """Write `layouts.json`: task to the tables that show its results."""
    layouts = {
        name: [dataclasses.asdict(layout) for layout in task.layouts()] for name, task in plan.tasks.items()
    }
    write_json(run.root / "layouts.json", layouts)


def write_run(
    run: RunFolder,
    plan: Plan,
    policy: Policy,
    facts: RunFacts,
    *,
    finished: str | None,
    wall_seconds: float | None,
    test_openings: int,
    test_openings_afterwards: int = 0,
) -> None:
    """Write `run.json`; `finished` is `None` while the run goes on."""
    suite = plan.suite
    write_json(
        run.root / "run.json",
        {
            "schema": SCHEMA,
            "suite": {
                **suite.model_dump(by_alias=True, exclude={"schema_version"}),
                "title": suite.title or suite.name,
                "reference_arms": suite.references,
                "settings": {**plan.settings, **plan.execution},
            },
            "domain": {"name": facts.domain.name, "title": facts.domain.title},
            "cohort": {
                "fingerprint": facts.cohort.fingerprint,
                "simulated": facts.cohort.simulated,
                "description": facts.cohort.description,
                "sizes": {
                    part: {split: dataclasses.asdict(size) for split, size in splits.items()}
                    for part, splits in facts.sizes.items()
                },
                "overlap": list(facts.overlap),
            },
            "arms": [_arm(plan, name) for name in plan.arms],
            "tasks": [_task(plan, name) for name in suite.tasks],
            "ablations": [_design(derived) for derived in plan.designs],
            "attributions": _attributions(plan),
            "cells": [dataclasses.asdict(cell) for cell in plan.cells],
            "caveats": caveats(plan),
            "claims": "procedure" if len(suite.seeds.pretraining) > 1 else "artifact",
            "status": status(policy),
            "provenance": {
                "versions": installed_versions(),
                "python": platform.python_version(),
                "platform": platform.platform(),
                "processor": processor_name(),
                "device": facts.device,
                "command": facts.command,
                "commit": source_commit(),
                "started": facts.started,
                "finished": finished,
                "wall_seconds": wall_seconds,
                "test_openings": test_openings,
                "test_openings_afterwards": test_openings_afterwards,
                "test_openings_of_cohort": dataclasses.asdict(
                    openings_of(facts.cache, facts.cohort.fingerprint)
                ),
                "determinism": DETERMINISM,
            },
        },
    )


def status(policy: Policy) -> dict[str, Any]:
    """Whether every applicable cell has its results, and how many trials are in which state."""
    counts = policy.counts()
    settled = {name: counts[name] for name in ("done", "failed", "blocked")}
    missing = sum(counts.values()) - sum(settled.values()) + policy.unselected_slots()
    complete = settled["done"] == sum(counts.values()) and not missing
    return {"state": "complete" if complete else "incomplete", **settled, "missing": missing}


def trial_rows(
    run: RunFolder, policy: Policy, failed_rows: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of `trials.parquet`: every trial that is done, failed or blocked, in a fixed order."""
    rows = []
    for key, trial in policy.trials.items():
        outcome = policy.outcomes.get(key)
        if outcome is None:
            continue
        if outcome.status == "done":
            row = dict(read_result(run.trial(key)))
        else:
            row = _bare_row(trial) | dict(failed_rows.get(key, {}))
            row |= {"status": outcome.status, "error": outcome.error}
        row |= {"strategy": trial.arm or None, "protocols": policy.protocols_of(key), "draw": trial.draw}
        row |= vars(trial.condition)
        row["hyperparameters"] = canonical_json(row["hyperparameters"] or {})
        row["validation"] = canonical_json(row["validation"] or {})
        rows.append({column: row.get(column) for column in TABLES["trials"]})
    return sorted(rows, key=_row_order)


def selection_rows(policy: Policy) -> list[dict[str, Any]]:
    """The rows of `selections.parquet`."""
    rows = [dataclasses.asdict(selection) for selection in policy.selection_rows()]
    for row in rows:
        row["hyperparameters"] = canonical_json(row["hyperparameters"] or {})
    return sorted(
        rows, key=lambda row: (row["task"] or "", row["protocol"], row["strategy"], *_condition(row))
    )


def search_rows(policy: Policy) -> list[dict[str, Any]]:
    """The rows of `search.parquet`: what every arm spent on every search, and where its best lies."""
    suite = policy.plan.suite
    boundary = {
        (row.place, row.protocol): list(row.boundary) for row in policy.selections if row.protocol == "tuned"
    }
    rows = []
    for hunt in policy.decisions.hunts:
        search, place = hunt.search, hunt.place
        method = suite.search.method if place.task or suite.search.method != "tpe" else "random"
        rows.append(
            {
                "task": place.task or None,
                "strategy": place.arm,
                "protocols": [protocol for protocol in PROTOCOLS if protocol in hunt.protocols],
                **dataclasses.asdict(place.condition),
                "weights": None if hunt.weights is None else canonical_json(hunt.weights),
                "method": method,
                "budget_draws": search.limits.draws,
                "budget_seconds": search.limits.seconds,
                "draws": len(search.settings),
                **{status: search.count(status) for status in ("done", "failed", "pruned", "blocked")},
                "seconds": search.seconds,
                "full_trials": search.share,
                "boundary": boundary.get((place, "tuned"), []) if "tuned" in hunt.protocols else [],
            }
        )
    return sorted(
        rows, key=lambda row: (row["task"] or "", row["strategy"], *_condition(row), row["protocols"])
    )


def installed_versions() -> dict[str, str]:
    """Version of this package and of everything it requires or may use, as far as it is installed."""
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        requirements = list(USUAL_PACKAGES)
    names = {re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in requirements}
    versions = {}
    for name in [DISTRIBUTION, *sorted(names)]:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _arm(plan: Plan, name: str) -> dict[str, Any]:
    arm = plan.arms[name]
    card = arm.card
    return {
        **{field: getattr(card, field) for field in ("name", "title", "summary", "parent", "version")},
        **{field: getattr(card, field) for field in ("citation", "licence")},
        "provides": sorted(card.provides),
        "changes": dict(card.changes),
        "factors": dict(card.factors),
        "resources": card.resources.declared,
        "origin": arm.origin,
        "strategy": arm.strategy.card.name,
        "ablation": dataclasses.asdict(arm.ablation) if arm.ablation else None,
        "ablations": [dataclasses.asdict(run) for run in arm.ablations],
        "control": arm.control,
        "retuned": arm.retuned,
    }


def _design(derived: DerivedDesign) -> dict[str, Any]:
    """A design of the suite, with the arms that are its runs."""
    design, words = derived.design, [sorted(word) for word in derived.design.words]
    return {
        **derived.declared.model_dump(exclude={"orders"}),
        "arms": derived.arms,
        "ladders": [[derived.arms[run] for run in ladder] for ladder in design.ladders],
        "resolution": design.resolution,
        "defining_words": words,
    }


def _attributions(plan: Plan) -> list[dict[str, Any]]:
    """Every pair of arms, and what a difference between the two can be due to."""
    arms = {name: arm.card for name, arm in plan.arms.items() if arm.control in (None, "broken_physics")}
    return [
        {
            "one": found.one,
            "other": found.other,
            "factors": {name: list(values) for name, values in found.factors.items()},
            "one_factor": found.one_factor,
            "words": str(found),
        }
        for found in attributions(arms, _ancestors(plan))
    ]


def _ancestors(plan: Plan) -> dict[str, StrategyCard]:
    """Cards of the strategies that arms derive from, whether or not they take part."""
    cards: dict[str, StrategyCard] = {}
    waiting = [arm.strategy.card for arm in plan.arms.values()]
    while waiting:
        card = waiting.pop()
        cards[card.name] = card
        if card.parent in plan.catalogue.strategies and card.parent not in cards:
            waiting.append(plan.catalogue.strategy(str(card.parent)).card)
    return cards


def _endpoint(plan: Plan, task: str) -> dict[str, Any]:
    """What the suite declares instead of the task's own endpoint; selection keeps the task's metric."""
    declared = plan.suite.endpoints.get(task)
    return declared.model_dump() if declared is not None else {}


def _task(plan: Plan, name: str) -> dict[str, Any]:
    task = plan.tasks[name]
    card = task.card
    return {
        **{
            field: getattr(card, field) for field in ("name", "title", "summary", "part", "trains", "version")
        },
        "primary": dataclasses.asdict(card.primary) | _endpoint(plan, name),
        "baselines": list(card.baselines),
        "resources": card.resources.declared,
        "space": {parameter: distribution.describe() for parameter, distribution in task.space.items()},
        "origin": plan.catalogue.tasks[name].origin,
    }


def _bare_row(trial: Trial) -> dict[str, Any]:
    """A row for a trial that never wrote one: blocked, or lost with its worker."""
    spec = trial.spec
    pretraining = spec.stage == "pretrain"
    return {
        "key": trial.key,
        **{name: getattr(spec, name) for name in ("stage", "strategy", "baseline", "task")},
        "seed": spec.seed,
        "pretraining_seed": spec.pretraining_seed,
        "hyperparameters": spec.pretraining_hyperparameters if pretraining else spec.hyperparameters,
        "validation": {},
        "cached": False,
    }


def _row_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Order that does not depend on which trial finished first."""
    stages: Sequence[str] = ("pretrain", "tune", "final")
    names = tuple(row[name] or "" for name in ("task", "strategy", "baseline"))
    numbers = tuple(-1 if row[name] is None else row[name] for name in ("draw", "pretraining_seed", "seed"))
    return (stages.index(row["stage"]), *names, *_condition(row), *numbers, row["key"])


def _condition(row: Mapping[str, Any]) -> tuple[float, ...]:
    """The main condition first, then by split, share of labels and draw of patients."""
    return (
        row["split"],
        *(-1 if row[name] is None else row[name] for name in ("label_fraction", "label_draw")),
    )
