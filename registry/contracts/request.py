"""What a strategy or a task asks of a machine, by its own account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ResourceRequest:
    """The least that one trial needs; 0: nothing is asked for, the suite decides alone.

    Parameters
    ----------
    cpus, gpus
        Numbers or shares of them; more than one GPU in whole ones.
    memory_bytes
        Main memory.

    Raises
    ------
    ValueError
        If one is no number from 0 on, or gpus a fraction above 1.

    Examples
    --------
    >>> ResourceRequest(gpus=0.5).declared
    {'gpus': 0.5}
    """

    cpus: float = 0
    gpus: float = 0
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse what nothing can give."""
        for name, amount in asdict(self).items():
            kinds = int if name == "memory_bytes" else int | float
            fits = isinstance(amount, kinds) and not isinstance(amount, bool)
            if not fits or not math.isfinite(amount) or amount < 0:
                whole = "a whole number" if name == "memory_bytes" else "a number"
                raise ValueError(f"resources: {name} = {amount!r} is not {whole} from 0 on")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"resources: gpus = {self.gpus:g} is neither a fraction below 1 nor whole")

    @classmethod
    def of(cls, table: Mapping[str, float]) -> ResourceRequest:
        """The request that a decorator's `resources={...}` means.

        Raises
        ------
        ValueError
            If a key is not known or a value cannot be asked for.
        """
        unknown = sorted(set(table) - set(cls.__dataclass_fields__))
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise ValueError(f"resources: {unknown[0]!r} is not known; known: {known}")
        return cls(**table)  # type: ignore[arg-type]

    @property
    def declared(self) -> dict[str, float]:
        """What is asked for."""
        return {name: amount for name, amount in asdict(self).items() if amount}
