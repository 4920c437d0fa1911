"""What a strategy, a task and a domain promise; plain Python and numpy, no torch, no ray."""

from registry.contracts.artifact import Artifact, Weights
from registry.contracts.context import TrialContext
from registry.contracts.domain import Check, CohortProgress, CohortReference, Domain, Probe, SplitSize
from registry.contracts.errors import DataError, InputError, TestSplitClosedError
from registry.contracts.request import ResourceRequest
from registry.contracts.space import Space, choice, loguniform, uniform
from registry.contracts.strategy import Strategy, StrategyCard, strategy
from registry.contracts.tables import (
    Exhibit,
    Panel,
    PrimaryEndpoint,
    PublishedValue,
    Row,
    Statistic,
    TableLayout,
)
from registry.contracts.task import FittedModel, Predictions, Task, TaskCard, task

__all__ = [
    "Artifact",
    "Check",
    "CohortProgress",
    "CohortReference",
    "DataError",
    "Domain",
    "Exhibit",
    "FittedModel",
    "InputError",
    "Panel",
    "Predictions",
    "PrimaryEndpoint",
    "Probe",
    "PublishedValue",
    "ResourceRequest",
    "Row",
    "Space",
    "SplitSize",
    "Statistic",
    "Strategy",
    "StrategyCard",
    "TableLayout",
    "Task",
    "TaskCard",
    "TestSplitClosedError",
    "TrialContext",
    "Weights",
    "choice",
    "loguniform",
    "strategy",
    "task",
    "uniform",
]
