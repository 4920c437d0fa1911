"""Settings that all arms share: the i-th depends on the suite's draw seed, the names and i, nothing else."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from harness.search.tables import Method
from registry.contracts import Space

#: Bits of a Sobol coordinate.
BITS = 30


class SharedDraws:
    """The settings of one space, by index.

    Parameters
    ----------
    space
        What is drawn.
    seed
        Of the suite's draws.
    method
        `sobol` draws jointly over `names`; every other method draws its shared part independently.
    names
        One fixed dimension of the Sobol sequence per name, in this order; those of `space` unless given. A
        name that is appended moves no earlier draw.
    declared_first
        Whether draw 0 is the declared setting, and the random ones come after it.

    Examples
    --------
    >>> from registry.contracts import uniform
    >>> space = Space(rate=uniform(0.0, 1.0, default=0.5))
    >>> draws = SharedDraws(space, seed=7, declared_first=True)
    >>> draws(0), draws(3) == draws(3)
    ({'rate': 0.5}, True)
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        method: Method = "random",
        names: Sequence[str] = (),
        declared_first: bool = False,
    ) -> None:
        self.space = space
        self._seed = seed
        self._sobol = method == "sobol"
        self._names = tuple(names) or tuple(space)
        self._declared_first = declared_first

    def __call__(self, index: int) -> dict[str, object]:
        """Setting number `index`, from 0."""
        if self._declared_first:
            if index == 0:
                return self.space.defaults()
            index -= 1
        if not self._sobol:
            return self.space.draw(seed=self._seed, index=index)
        point = sobol_point(index, self._names, self._seed)
        return {name: distribution.at(point[name]) for name, distribution in self.space.items()}

    def first(self, count: int) -> tuple[dict[str, object], ...]:
        """The first `count` settings; none where there is nothing to draw."""
        return tuple(self(index) for index in range(count)) if self.space else ()


def sobol_point(index: int, names: Sequence[str], seed: int) -> dict[str, float]:
    """Point `index` of a digitally shifted Sobol sequence, one dimension per name.

    The shift, an exclusive or with random bits, keeps every net of the sequence a net (Lemieux 2009, section
    6.2.2), and being a function of (seed, name) alone it stays as it is when a dimension is added.

    Returns
    -------
    dict
        A number in [0, 1) per name.
    """
    raw = _unshifted(index, len(names))
    return {name: ((raw[place] ^ _shift(seed, name)) + 0.5) / 2**BITS for place, name in enumerate(names)}


@lru_cache(maxsize=4096)
def _unshifted(index: int, dimensions: int) -> tuple[int, ...]:
    qmc: Any = importlib.import_module("scipy.stats.qmc")  # half a second, only where it is asked for
    engine = qmc.Sobol(dimensions, scramble=False, bits=BITS)
    if index:
        engine.fast_forward(index)
    return tuple(int(value * 2**BITS) for value in engine.random(1)[0])


def _shift(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"sobol/{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - BITS)


def names_in_order(spaces: Iterable[Space]) -> tuple[str, ...]:
    """Every name of the spaces once, by first appearance."""
    return tuple(dict.fromkeys(name for space in spaces for name in space))
