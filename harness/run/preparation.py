"""A request whose every name and setting has been checked, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.labels import check_domain
from harness.learning_view import learning_view
from harness.plan import Plan, make_plan
from harness.progress import Display
from harness.request import Request
from harness.search.tpe import require_optuna
from harness.suite import Suite
from registry.catalog import Catalogue
from registry.contracts import CohortReference, Domain, InputError, SplitSize, Task


@dataclass(frozen=True)
class Prepared:
    """A request whose every name and setting has been checked."""

    request: Request
    catalogue: Catalogue
    domain: Domain
    settings: Mapping[str, Any]
    cohort: CohortReference
    other_splits: Mapping[int, CohortReference]

    def plan(self) -> Plan:
        """The plan of this run."""
        if self.request.suite.search.method == "tpe":
            require_optuna()
        return make_plan(
            self.request.suite,
            self.catalogue,
            settings=self.settings,
            cohort=self.cohort.fingerprint,
            other_splits={split: cohort.fingerprint for split, cohort in self.other_splits.items()},
            probes=self.domain.probes,
            execution=self.domain.execution_settings,
        )

    def folder(self, split: int) -> Path:
        """Where the cohort is that has this split."""
        return (self.other_splits[split] if split else self.cohort).folder.resolve()

    def learning_folder(self, split: int) -> Path:
        """Where its train and validation records are, without those of the test split."""
        reference = self.other_splits[split] if split else self.cohort
        cache = self.request.cache.resolve()
        fingerprint = reference.fingerprint
        return learning_view(self.domain, self.folder(split), fingerprint=fingerprint, cache=cache)


def prepare(request: Request) -> Prepared:
    """Resolve every name and check every setting; makes and writes nothing.

    Raises
    ------
    InputError
        Naming the first thing that is wrong.
    """
    catalogue = Catalogue.load(request.plugins).frozen()
    suite = request.suite
    domain = catalogue.domain(suite.domain)
    settings = domain.check_settings(suite.settings)
    check_domain(domain, suite)
    cohort = domain.cohort(suite.cohort, request.cache)
    return Prepared(request, catalogue, domain, settings, cohort, _other_splits(domain, suite, request.cache))


def prepare_cohorts(prepared: Prepared, display: Display) -> dict[str, dict[str, SplitSize]]:
    """Make or verify the cohort on each of its splits; sizes are those of its own."""
    request = prepared.request
    found = [
        prepared.domain.prepare(
            _split_declaration(request.suite.cohort, split),
            request.cache,
            workers=request.workers,
            progress=display.cohort,
        )
        for split in range(request.suite.splits)
    ]
    return found[0]


def check_data(prepared: Prepared, tasks: Iterable[Task]) -> None:
    """Let every task look at the data that it learns from: what it cannot work with costs no training.

    Raises
    ------
    InputError
        What the first such task says.
    """
    for task in tasks:
        if type(task).check_data is not Task.check_data:
            try:
                train = prepared.domain.open_split(prepared.cohort.folder, task.card.part, "train")
                task.check_data(prepared.settings, train)
            except InputError as error:
                raise InputError(f"task {task.card.name!r}: {error.message}", mend=error.mend) from error


def _split_declaration(declaration: Mapping[str, Any], split: int) -> dict[str, Any]:
    """The `[cohort]` table of a repeated split; the cohort's own is left as it was written."""
    return {**declaration, "split": split} if split else dict(declaration)


def _other_splits(domain: Domain, suite: Suite, cache: Path) -> dict[int, CohortReference]:
    try:
        return {
            split: domain.cohort(_split_declaration(suite.cohort, split), cache)
            for split in range(1, suite.splits)
        }
    except InputError as error:
        raise InputError(
            f"splits = {suite.splits}: the cohort cannot be split again: {error.message}", mend=error.mend
        ) from error
