"""What the steps of a training read, made ahead by threads where that is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Made = TypeVar("Made")
#: From indices of examples and the step's random numbers to what a network sees of them, on the processor.
View = Callable[[NDArray[np.int64], torch.Generator], Tensor]


@dataclass(frozen=True)
class Batch:
    """What one step reads.

    Parameters
    ----------
    indices
        Which examples.
    seen
        What the training's view makes of them; without one, the indices themselves.
    random_state
        Of the step's random numbers, after the view has drawn from them.
    """

    indices: NDArray[np.int64]
    seen: Tensor
    random_state: Tensor

    @classmethod
    def of(
        cls, indices: NDArray[np.int64], seed: int, view: View | None = None, *, pin: bool = False
    ) -> Batch:
        """Make a batch by random numbers that are its own: the same whoever makes it, and when.

        Parameters
        ----------
        indices, view
            Which examples, and how they are seen.
        seed
            Of the step.
        pin
            Whether to leave it in memory that a device copies from while it computes.
        """
        random = torch.Generator().manual_seed(seed)
        seen = torch.from_numpy(indices) if view is None else view(indices, random)
        return cls(indices, seen.pin_memory() if pin else seen, random.get_state())


def made_ahead(make: Callable[[int], Made], steps: range, workers: int) -> Generator[Made]:
    """`make(step)` for each of `steps`, in their order; an error of one is raised where its turn is.

    Parameters
    ----------
    make
        Of one step; called by several threads.
    steps
        For which.
    workers
        Threads that work ahead, as many steps as there are threads; 0: none, each is made when it is asked
        for.

    Examples
    --------
    >>> list(made_ahead(lambda step: step**2, range(2, 6), workers=2))
    [4, 9, 16, 25]
    """
    if not workers:
        yield from map(make, steps)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="loader")
    try:
        waiting = deque(pool.submit(make, step) for step in steps[:workers])
        for step in steps[workers:]:
            made = waiting.popleft().result()
            waiting.append(pool.submit(make, step))
            yield made
        for last in waiting:
            yield last.result()
    finally:
        pool.shutdown(cancel_futures=True)
