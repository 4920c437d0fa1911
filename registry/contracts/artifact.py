"""What a strategy hands on to every task: named weights and what is needed to build them up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Artifact:
    """Named parts with their weights.

    Parameters
    ----------
    parts
        Part name (`encoder`, `generator`) to state dictionary: tensor name to array.
    metadata
        JSON-serialisable facts: the architecture to build, normalisation, source and licence of weights.
    validation
        Scores on the validation split, by metric name; empty where nothing was trained.
    """

    parts: Mapping[str, Weights]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
