"""What the workers of a run are told: where data, weights and other trials are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.files import digest_of
from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.remote import RemoteRun
from harness.resources import TrialResources
from harness.results import RunFolder
from harness.run.preparation import Prepared
from harness.trial import make_payload


@dataclass
class Payloads:
    """Makes the payload of every trial of a run; `remote` is the object store that nodes go through."""

    prepared: Prepared
    plan: Plan
    run: RunFolder
    remote: RemoteRun | None
    _learning: dict[int, Path] = field(default_factory=dict)

    def of(self, trial: Trial, policy: Policy, given: TrialResources) -> dict[str, Any]:
        """What a worker is told to run `trial` with these resources."""
        request, split = self.prepared.request, trial.condition.split
        payload = make_payload(
            trial.spec,
            arm=trial.arm,
            run=self.run.root,
            cache=request.cache.resolve(),
            cohort_folder=self._learning_folder(split),
            test_folder=self.prepared.folder(split) if trial.stage == "final" else None,
            plugins=request.plugins,
            artifact=policy.artifact_of(trial),
            draw=trial.draw,
            protocols=list(policy.protocols_of(trial.key)),
            resources=given,
            threads=request.suite.resources.threads,
            execution=self.plan.execution,
            bracket=self._bracket(trial),
            keep_model=request.keep_models,
        )
        if self.remote is None:
            return payload
        # a node keeps the whole cohort where final trials run, and the learning files where others do
        cohort = self.plan.cohorts[split]
        if trial.stage == "final":
            self.remote.offer_cohort(cohort, self.prepared.folder(split))
            return payload | self.remote.as_dict(cohort)
        self.remote.offer_cohort(f"{cohort}-learning", self._learning_folder(split))
        return payload | self.remote.as_dict(f"{cohort}-learning")

    def _learning_folder(self, split: int) -> Path:
        """Made once per split."""
        if split not in self._learning:
            self._learning[split] = self.prepared.learning_folder(split)
        return self._learning[split]

    def _bracket(self, trial: Trial) -> dict[str, Any] | None:
        """Where a tuning trial meets the others of its cell, if trials may be stopped early."""
        stopping = self.plan.suite.search.early_stopping
        if stopping is None or trial.stage != "tune":
            return None
        cell = digest_of([trial.place.arm, trial.place.task, vars(trial.condition), trial.spec.upstream])
        folder = self.run.root / "brackets" / cell[:16]
        return {"folder": str(folder), "rungs": stopping.rungs, "reduction": stopping.reduction}
