"""The contract of a downstream task."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from numpy.typing import NDArray

from registry.contracts.artifact import Artifact
from registry.contracts.context import TrialContext
from registry.contracts.request import ResourceRequest
from registry.contracts.space import Space
from registry.contracts.strategy import StrategyCard
from registry.contracts.tables import Exhibit, PrimaryEndpoint, TableLayout


@dataclass(frozen=True)
class TaskCard:
    """What is declared about a task; readable without running it.

    Parameters
    ----------
    name, title
        How suites call it, and how tables and figures do.
    needs
        Parts that an artifact must have.
    needs_joint_training
        Whether these parts must have been trained together.
    domain
        The domain whose cohorts it understands.
    part
        The part of the cohort that it learns from and is judged on.
    primary
        The endpoint that selects hyperparameters (on validation) and leads the report (on test).
    trains
        Whether fitting draws random numbers; one that does not is run once per artifact, not per seed.
    uses_labels
        Whether fitting learns from what is to be predicted; where it does not, fewer or shuffled labels
        would change nothing.
    baselines
        Cheap references that are run beside the arms.
    resources
        The least that one trial of it needs of a machine, a baseline's too; never part of an identity.
    version
        Raised whenever the same inputs give other results; part of a trial's identity.
    """

    name: str
    title: str
    needs: frozenset[str]
    domain: str
    part: str
    primary: PrimaryEndpoint
    needs_joint_training: bool = False
    trains: bool = True
    uses_labels: bool = True
    baselines: tuple[str, ...] = ()
    resources: ResourceRequest = field(default_factory=ResourceRequest)
    version: str = "1"
    summary: str = ""


@dataclass(frozen=True)
class FittedModel:
    """A model after training.

    Parameters
    ----------
    state
        Whatever `predict` needs; never leaves the worker.
    validation
        Scores on the validation split by metric name; holds the task's primary metric.
    """

    state: Any
    validation: Mapping[str, float]


@dataclass(frozen=True)
class Predictions:
    """Per-scan records, from which every statistic is computed.

    Parameters
    ----------
    patients
        (n,) pseudonymous patient keys: what resampling draws.
    scans
        (n,) scan identifiers.
    targets, predictions
        Measure name to (n,) arrays; the same names in both. A prediction that could not be made is NaN and
        has a fallback; a scan without a target (NaN) is not judged by this measure and leaves no record.
    fallbacks
        Measure name to the mean over the train split, which stands in for a prediction that could not be
        made where the report fills gaps; required of every measure with a NaN prediction.
    scores
        Metric name to (n,) arrays: one number per scan (PSNR of a reconstruction).
    """

    patients: Sequence[str]
    scans: Sequence[str]
    targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    predictions: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    scores: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    fallbacks: Mapping[str, float] = field(default_factory=dict)


class Task(abc.ABC):
    """What is learned from initial weights and how it is judged.

    Required: `fit`, `predict`, `layouts`. Optional: `space`, `applies`, `check_data`, `fit_baseline`,
    `predict_baseline`, `exhibits`; `keep` and `restore` together, for models that outlive their run.
    """

    card: ClassVar[TaskCard]
    space: ClassVar[Space] = Space()

    @abc.abstractmethod
    def fit(self, context: TrialContext, artifact: Artifact) -> FittedModel:
        """Learn from the train split, choose on the validation split; the test split is closed."""

    @abc.abstractmethod
    def predict(self, context: TrialContext, model: FittedModel, split: Any) -> Predictions:
        """Predict for every scan of `split` (the domain's view of it)."""

    @abc.abstractmethod
    def layouts(self) -> Sequence[TableLayout]:
        """The tables that show this task's results; the first one is the primary table."""

    def applies(self, strategy: StrategyCard) -> tuple[bool, str]:
        """Whether a cell of this task and `strategy` makes sense, and the reason where it does not."""
        missing = sorted(self.card.needs - strategy.provides)
        if missing:
            return False, f"{strategy.title} has no {' and no '.join(missing)}"
        if self.card.needs_joint_training and not self.card.needs <= strategy.trained_jointly:
            return (
                False,
                f"{' and '.join(sorted(self.card.needs))} of {strategy.title} were not trained together",
            )
        return True, ""

    def check_data(self, settings: Mapping[str, Any], train: Any) -> None:  # noqa: B027 - optional
        """Refuse data that this task cannot work with, before anything is trained on them.

        Parameters
        ----------
        settings
            Of the suite, as its domain checked them.
        train
            The domain's view of the train split of the card's part.

        Raises
        ------
        InputError
            Naming what the data lack.
        """

    def fit_baseline(self, name: str, context: TrialContext) -> FittedModel:
        """Fit one of the card's baselines, on the train split, its penalty chosen on validation."""
        raise ValueError(f"task {self.card.name!r} has no baseline {name!r}")

    def predict_baseline(
        self, name: str, context: TrialContext, model: FittedModel, split: Any
    ) -> Predictions:
        """Predict with a fitted baseline; as with any other model unless a task says otherwise."""
        return self.predict(context, model, split)

    def keep(self, context: TrialContext, model: FittedModel) -> Artifact | None:
        """A fitted model as weights and what is needed to build it again; `None` where it cannot be kept.

        Asked for final models where a run keeps them (`harness run-all --keep-models`).
        """
        return None

    def restore(self, context: TrialContext, kept: Artifact) -> FittedModel:
        """The model that `keep` handed out, built again so that `predict` can read it.

        Its validation scores may be left empty. `harness predict` then gives files of new people to
        `predict`, as a split whose targets are NaN; it opens no cohort.

        Raises
        ------
        NotImplementedError
            If the task does not say how.
        """
        raise NotImplementedError(f"task {self.card.name!r} does not say how a kept model is built again")

    def exhibits(self, context: TrialContext, model: FittedModel, split: Any) -> Sequence[Exhibit]:
        """Pictures of a few test scans, the same scans for every arm."""
        return ()


TaskClass = TypeVar("TaskClass", bound=type[Task])


def task(
    name: str,
    *,
    needs: set[str],
    title: str | None = None,
    resources: Mapping[str, float] | None = None,
    **declared: Any,
) -> Callable[[TaskClass], TaskClass]:
    """Declare a task; see `TaskCard` for the words.

    `resources` holds `cpus`, `gpus` and `memory_bytes`, as far as they matter.

    Raises
    ------
    ValueError
        If something in `resources` cannot be given.
    """

    def declare(implementation: TaskClass) -> TaskClass:
        implementation.card = TaskCard(
            name=name,
            title=title or name,
            needs=frozenset(needs),
            resources=ResourceRequest.of(resources or {}),
            **declared,
        )
        return implementation

    return declare
