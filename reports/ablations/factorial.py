"""Two-level factorials: main effects, interactions, and what a fraction cannot tell apart."""

from __future__ import annotations

from dataclasses import replace

from reports.ablations.designs import effect_weights, factorial_design, factors_of
from reports.ablations.findings import Factorial, FactorialCell
from reports.ablations.study import Row, Study
from reports.statistics.intervals import estimate


def factorial(study: Study) -> Factorial | None:
    """Main effects and two-way interactions, largest first; `None` where no factorial ran."""
    cells = {changes: f"arm:{arm['name']}" for changes, arm in study.of("factorial").items()}
    if not cells:
        return None
    cells = {frozenset(): study.key, **cells}
    levels: dict[str, set[str]] = {}
    for changes in cells:
        for name, value in changes:
            levels.setdefault(name, set()).add(value)
    names = [name for name, values in levels.items() if len(values) == 1]
    design, terms = factorial_design([set(factors_of(changes)) for changes in cells], names)
    weights, estimable = effect_weights(design)
    rows: list[Row] = []
    lost = [f"{name}: more than two levels" for name in levels if name not in names]
    for place, term in enumerate(terms, start=1):
        if not estimable[place]:
            lost.append(" x ".join(term))
            continue
        own = dict(zip(cells.values(), weights[place].tolist(), strict=True))
        rows.append((own, term, " x ".join(term), ""))
    mains = study.family("main", rows)
    effects = [replace(effect, kind="interaction" if len(effect.factors) > 1 else "main") for effect in mains]
    effects.sort(key=lambda effect: -abs(effect.difference.estimate.value or 0.0))
    return Factorial(
        {name: (next(iter(levels[name])), study.before(name)) for name in names},
        tuple(
            FactorialCell(factors_of(changes), key, estimate(study.endpoint.of(key))[0])
            for changes, key in cells.items()
        ),
        2 ** len(names),
        tuple(effects),
        tuple(lost),
    )
