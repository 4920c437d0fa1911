"""Factors put in place one after the other: ladders, and the mean over all orders."""

from __future__ import annotations

import math
from itertools import pairwise

from reports.ablations.designs import factors_of, paths, single_steps
from reports.ablations.findings import Ladder, OrderMeans
from reports.ablations.study import Row, Study

#: More orders than this are averaged over, but not shown one by one.
LADDERS_SHOWN = 6


def ladders(study: Study) -> tuple[Ladder, ...]:
    """The first orders in which factors were put in place, step by step."""
    nodes = study.nodes("ladder")
    found = []
    for path in paths(set(nodes))[:LADDERS_SHOWN]:
        rows = [
            study.row(before - after, nodes[after], nodes[before])
            for before, after in pairwise(reversed(path))
        ]
        steps = study.family("step", rows)
        found.append(Ladder(tuple(" + ".join(step.factors) for step in steps), steps))
    return tuple(found)


def order_means(study: Study) -> tuple[OrderMeans, ...]:
    """The mean step of each factor, of every set that can be reached in two or more orders."""
    nodes = study.nodes("ladder", "factorial")
    tops = {path[-1] for path in paths(set(nodes))}
    found = []
    for top in sorted(tops, key=sorted):
        below = paths({one for one in nodes if one <= top})
        orders = [path for path in below if path[-1] == top and single_steps(path)]
        if len(orders) < 2:
            continue
        weights: dict[str, dict[str, float]] = {}
        for path in orders:
            for before, after in pairwise(reversed(path)):
                own = weights.setdefault(factors_of(before - after)[0], {})
                own[nodes[after]] = own.get(nodes[after], 0.0) + 1 / len(orders)
                own[nodes[before]] = own.get(nodes[before], 0.0) - 1 / len(orders)
        words = f"mean over {len(orders)} orders"
        rows: list[Row] = [(own, (name,), f"{name}, {words}", "") for name, own in weights.items()]
        complete = len(orders) == math.factorial(len(top))
        found.append(OrderMeans(factors_of(top), len(orders), complete, study.family("order mean", rows)))
    return tuple(found)
