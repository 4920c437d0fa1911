"""Designs of ablations: which arms weigh how much in an effect, and the orders in which factors change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise

import numpy as np

from reports.statistics.arrays import Array

#: Factors and their values, as text.
Changes = frozenset[tuple[str, str]]


def factorial_design(
    cells: Sequence[set[str]], factors: Sequence[str]
) -> tuple[Array, list[tuple[str, ...]]]:
    """Design matrix (cells, 1 + terms) of main effects and two-way interactions.

    Parameters
    ----------
    cells
        The factors that are changed in each cell: coded -1 there, +1 elsewhere.
    """
    terms = [(name,) for name in factors] + [tuple(pair) for pair in combinations(factors, 2)]
    coded = {name: np.array([-1.0 if name in cell else 1.0 for cell in cells]) for name in factors}
    columns = [np.ones(len(cells))]
    columns += [np.prod([coded[name] for name in term], axis=0) for term in terms]
    return np.column_stack(columns), terms


def effect_weights(design: Array) -> tuple[Array, list[bool]]:
    """Weights of the cells in every effect, and which effects the cells determine.

    Returns
    -------
    Array, list
        (terms, cells) twice the least squares coefficients, and whether each is estimable.

    Examples
    --------
    >>> design, _ = factorial_design([set(), {"a"}, {"b"}, {"a", "b"}], ["a", "b"])
    >>> effect_weights(design)[0][1].round(12).tolist()
    [0.5, -0.5, 0.5, -0.5]
    """
    inverse = np.linalg.pinv(design)
    resolution = inverse @ design
    estimable = [
        bool(np.abs(row - np.eye(len(row))[place]).max() < 1e-9) for place, row in enumerate(resolution)
    ]
    return np.asarray(2 * inverse), estimable


def trend_weights(levels: int) -> list[float]:
    """Weights of ordered levels in the fitted linear change from the first to the last.

    Examples
    --------
    >>> trend_weights(3)
    [-1.0, 0.0, 1.0]
    """
    if levels < 2:
        return [0.0] * levels
    place = np.arange(levels) - (levels - 1) / 2
    return [float(one) for one in place / (place**2).sum() * (levels - 1)]


def paths(nodes: set[Changes]) -> list[list[Changes]]:
    """Every way up from the empty set: each step goes to a smallest set that contains the present one."""
    ordered = sorted(nodes, key=lambda one: (len(one), sorted(one)))

    def extend(path: list[Changes]) -> list[list[Changes]]:
        larger = [one for one in ordered if path[-1] < one]
        nearest = [one for one in larger if not any(path[-1] < other < one for other in larger)]
        return [longer for one in nearest for longer in extend([*path, one])] if nearest else [path]

    return [path for path in extend([frozenset()]) if len(path) > 1]


def single_steps(path: Sequence[Changes]) -> bool:
    """Whether every step of a path changes one factor alone."""
    return all(len(factors_of(after - before)) == 1 for before, after in pairwise(path))


def factors_of(changes: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Names of the factors that are changed, in order."""
    return tuple(sorted({name for name, _ in changes}))
