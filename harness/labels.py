"""Which labels learning sees: a nested share of the patients, or labels that belong to somebody else.

The domain's view of a split is cut or shuffled by the domain itself; who is kept and whose labels are dealt
to whom is decided here, the same for every domain.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.plan import Plan
from harness.specs import TrialSpec
from harness.suite import Suite
from registry.contracts import Domain, InputError, SplitSize
from registry.contracts.context import OpenSplit

#: Fewer say nothing: a score on one patient has no spread.
FEWEST_PATIENTS = 2
LEARNING_SPLITS = ("train", "validation")


def nested_patients(patients: Iterable[str], fraction: float, draw: int) -> frozenset[str]:
    """The patients whose labels are seen: of one draw, a smaller share is part of every larger one.

    Who comes first depends on the draw and the patient's key alone, so that other patients, another order
    or another strategy change nothing.

    Examples
    --------
    >>> everybody = [f"p{number}" for number in range(10)]
    >>> nested_patients(everybody, 0.2, 0) < nested_patients(everybody, 0.5, 0)
    True
    """
    ranked = sorted(set(patients), key=lambda patient: (_digest(draw, patient), patient))
    return frozenset(ranked[: kept(len(ranked), fraction)])


def kept(patients: int, fraction: float) -> int:
    """How many of so many patients a share keeps, rounded up."""
    return math.ceil(round(fraction * patients, 9))


def shuffled_order(patients: Sequence[str], seed: int) -> list[int]:
    """For every scan, the scan whose labels it is given: another patient's wherever that is possible.

    Patients are put into a random order and their scans' labels handed on by as many places as the patient
    with the most scans has.

    Examples
    --------
    >>> order = shuffled_order(["a", "a", "b", "c"], seed=1)
    >>> sorted(order)
    [0, 1, 2, 3]
    """
    rank = {patient: (_digest(seed, patient), patient) for patient in set(patients)}
    places = sorted(range(len(patients)), key=lambda scan: (rank[patients[scan]], scan))
    most = max((list(patients).count(patient) for patient in rank), default=0)
    order = [0] * len(patients)
    for position, scan in enumerate(places):
        order[scan] = places[(position + most) % len(places)]
    return order


def labelled_view(open_split: OpenSplit, domain: Domain, labelled: str, spec: TrialSpec) -> OpenSplit:
    """The door as a trial's learning sees it; `labelled` is the part with the labels."""
    fraction, draw = spec.label_fraction, spec.label_draw

    def open_labelled(part: str, split: str) -> Any:
        view = open_split(part, split)
        if part != labelled:
            return view
        if fraction is not None:
            patients = nested_patients(domain.patients(view), fraction, int(draw or 0))
            view = domain.with_patients(view, patients)
        if spec.shuffled_labels and split == "train":
            view = domain.with_labels_of(view, shuffled_order(domain.patients(view), spec.random_seed))
        return view

    return open_labelled


def check_domain(domain: Domain, suite: Suite) -> None:
    """Refuse what the domain cannot do.

    Raises
    ------
    InputError
        Naming the table of the suite and the method that the domain lacks.
    """
    asked = {
        "label_efficiency": ("with_patients", suite.label_efficiency is not None),
        "controls.shuffled_labels": ("with_labels_of", bool(suite.controls.shuffled_labels)),
    }
    for table, (method, wanted) in asked.items():
        if wanted and getattr(type(domain), method) is getattr(Domain, method):
            raise InputError(
                f"{table}: domain {domain.name!r} has no method {method}()",
                mend=f"add it to the class of the domain, or take {table} out of the suite",
            )


def check_enough(plan: Plan, sizes: Mapping[str, Mapping[str, SplitSize]]) -> None:
    """Refuse shares that leave too few patients to learn from or to choose by.

    Raises
    ------
    InputError
        Naming the share, the split and how many patients are left.
    """
    for task, conditions in plan.conditions.items():
        for condition in conditions:
            if condition.label_fraction is None:
                continue
            for split in LEARNING_SPLITS:
                total = sizes[plan.tasks[task].card.part][split].patients
                left = kept(total, condition.label_fraction)
                if left < FEWEST_PATIENTS:
                    raise InputError(
                        f"label_efficiency.fractions: {condition.label_fraction:g} of {total} {split} "
                        f"patients of task {task!r} is {left}",
                        mend=f"take shares that leave {FEWEST_PATIENTS} patients or more",
                    )


def _digest(number: int, patient: str) -> bytes:
    return hashlib.sha256(f"{number}/{patient}".encode()).digest()
