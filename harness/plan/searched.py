"""Searching hyperparameters of pretraining: for which arms, compared by which score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.arms import Arm
from harness.plan.trials import Cell
from harness.search.draws import SharedDraws, names_in_order
from harness.suite import Suite
from registry.catalog import unknown_name
from registry.contracts import InputError, Probe


def searched_arms(suite: Suite, arms: Mapping[str, Arm], cells: Iterable[Cell]) -> dict[str, SharedDraws]:
    """Settings of pretraining by number, of every arm that searches its own.

    Draw 0 is the declared setting; the others are shared by name: arms that have a hyperparameter in common
    try the same values of it.
    """
    if suite.budget.pretraining_draws == 1:
        return {}
    leaders = {arms[arms[cell.strategy].weights_of].setting_of for cell in cells if cell.applicable}
    names = names_in_order(arm.space for arm in arms.values())
    return {
        name: SharedDraws(
            arm.space, seed=suite.seeds.draws, method=suite.search.method, names=names, declared_first=True
        )
        for name, arm in arms.items()
        if name in leaders and arm.space
    }


def probe_for(
    suite: Suite, probes: Mapping[str, Probe], arms: Mapping[str, Arm], cells: Iterable[Cell]
) -> tuple[str, Probe]:
    """The one score that every compared arm has.

    Raises
    ------
    InputError
        If the domain has no probe, none of this name, or one that needs a part which an arm lacks.
    """
    wanted = suite.search.pretraining_metric
    if not probes:
        raise InputError(
            f"domain {suite.domain!r} declares no probe, so settings of pretraining cannot be compared",
            mend="set budget.pretraining_draws = 1: every arm pretrains at its declared values",
        )
    if wanted is not None and wanted not in probes:
        raise unknown_name("pretraining_metric", wanted, probes)
    name = wanted or next(iter(probes))
    for arm in sorted({cell.strategy for cell in cells if cell.applicable}):
        missing = sorted(probes[name].needs - arms[arm].card.provides)
        if missing:
            raise InputError(
                f"pretraining_metric {name!r} needs {' and '.join(missing)}, which {arm!r} has not: the arms "
                "cannot be compared by it",
                mend="choose another search.pretraining_metric, or take that arm out",
            )
    return name, probes[name]
