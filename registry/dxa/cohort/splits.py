"""Splits by patient, balanced over age and sex, and the check that no patient is in two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from registry.contracts import DataError
from registry.dxa.cohort.specification import PARTS, SPLITS, CohortSpecification, Sex

# Streams of random numbers of the plan, apart from those of the subjects.
_PLAN = 1_000_003


@dataclass(frozen=True)
class PlannedPatient:
    """Whom to simulate.

    Parameters
    ----------
    number
        Unique in the cohort; with the seed, it decides everything random.
    key
        The patient key.
    sex, age_years
        At the first visit.
    visits
        One or two.
    """

    number: int
    key: str
    sex: Sex
    age_years: float
    visits: int


def stratified_split(
    ages: Sequence[float], sexes: Sequence[str], quotas: Mapping[str, int], generator: np.random.Generator
) -> list[str]:
    """Assign each patient to a split so that every split has the same ages and sexes.

    Patients are ordered by sex, then age; walking along, each goes to the split that lags most behind its
    share, so that every stretch of ages is divided in proportion. Ties are broken by the generator.

    Parameters
    ----------
    ages, sexes
        One value per patient.
    quotas
        Patients of each split; they must sum to the number of patients.

    Returns
    -------
    list of str
        A split's name per patient, in the given order.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> sorted(stratified_split([7, 8, 70, 71], ["f"] * 4, {"train": 2, "test": 2}, generator))
    ['test', 'test', 'train', 'train']
    """
    if sum(quotas.values()) != len(ages):
        raise ValueError(f"quotas {dict(quotas)} do not sum to {len(ages)} patients")
    names = list(quotas)
    share = np.array([quotas[name] for name in names]) / max(1, len(ages))
    given = np.zeros(len(names), dtype=np.int64)
    quota = np.array([quotas[name] for name in names])
    order = sorted(range(len(ages)), key=lambda patient: (sexes[patient], ages[patient]))
    result = [""] * len(ages)
    for position, patient in enumerate(order, start=1):
        lag = share * position - given
        lag[given >= quota] = -np.inf
        tied = np.flatnonzero(lag >= lag.max() - 1e-9)
        choice = int(generator.choice(tied))
        given[choice] += 1
        result[patient] = names[choice]
    return result


def plan_cohort(specification: CohortSpecification) -> dict[str, dict[str, list[PlannedPatient]]]:
    """Decide who is in which split of which part, before anybody is simulated.

    Counts are scans: a split of 100 scans with 4 patients who come twice has 96 patients. Ages are uniform
    over the specified range, sexes alternate; patients of the two parts have different numbers and keys.
    Another ``split`` of the specification divides the same patients, with the same visits, anew.

    Returns
    -------
    dict
        Patients by part and split.
    """
    plan: dict[str, dict[str, list[PlannedPatient]]] = {}
    first = 0
    for part_number, part in enumerate(PARTS):
        counts = specification.part(part).counts()
        generator = np.random.default_rng(
            np.random.SeedSequence(specification.seed, spawn_key=(_PLAN, part_number))
        )
        returning = {
            name: min(round(specification.second_visit_share * n), n // 2) for name, n in counts.items()
        }
        quotas = {name: counts[name] - returning[name] for name in SPLITS}
        patients = sum(quotas.values())
        youngest, oldest = specification.age_years
        # One age from each of as many equal stretches, so that small cohorts cover the range too.
        ages = (
            youngest
            + (oldest - youngest) * (generator.permutation(patients) + generator.random(patients)) / patients
        )
        sexes = generator.permutation(np.arange(patients) % 2)
        split_of = stratified_split(ages.tolist(), [str(sex) for sex in sexes], quotas, generator)
        members: dict[str, list[int]] = {name: [] for name in SPLITS}
        for patient, name in enumerate(split_of):
            members[name].append(patient)
        plan[part] = {}
        for name in SPLITS:
            twice = set(generator.choice(members[name], size=returning[name], replace=False).tolist())
            plan[part][name] = [
                PlannedPatient(
                    number=first + patient,
                    key=f"S{first + patient:06d}",
                    sex="male" if sexes[patient] else "female",
                    age_years=round(float(ages[patient]), 2),
                    visits=2 if patient in twice else 1,
                )
                for patient in members[name]
            ]
        if specification.split:
            generator = division_generator(specification.seed, part_number, specification.split)
            plan[part] = divide_anew(plan[part], generator)
        first += patients
    return plan


def divide_anew(
    declared: Mapping[str, Sequence[PlannedPatient]], generator: np.random.Generator
) -> dict[str, list[PlannedPatient]]:
    """The same patients in other splits that hold as many scans; patients with as many visits swap places.

    Parameters
    ----------
    declared
        Patients by split.
    generator
        Breaks ties.

    Returns
    -------
    dict
        Patients by split, by number.
    """
    result: dict[str, list[PlannedPatient]] = {name: [] for name in declared}
    for visits in sorted({patient.visits for group in declared.values() for patient in group}):
        groups = {name: [p for p in group if p.visits == visits] for name, group in declared.items()}
        patients = sorted((p for group in groups.values() for p in group), key=lambda p: p.number)
        split_of = stratified_split(
            [patient.age_years for patient in patients],
            [patient.sex for patient in patients],
            {name: len(group) for name, group in groups.items()},
            generator,
        )
        for patient, name in zip(patients, split_of, strict=True):
            result[name].append(patient)
    return {name: sorted(patients, key=lambda p: p.number) for name, patients in result.items()}


def division_generator(seed: int, part_number: int, split: int) -> np.random.Generator:
    """The random numbers that divide a part anew."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_PLAN, part_number, split)))


def check_no_leak(patients: Mapping[str, Iterable[str]], *, source: str = "the cohort") -> None:
    """Refuse a cohort in which a patient is in two splits, of one part or of both.

    Parameters
    ----------
    patients
        Patient keys by split, such as ``paired/test``.
    source
        What the message calls the cohort.

    Raises
    ------
    DataError
        Naming the first such patient and both splits.
    """
    split_of: dict[str, str] = {}
    for split, keys in patients.items():
        for key in sorted(set(keys)):
            earlier = split_of.setdefault(key, split)
            if earlier != split:
                raise DataError(
                    f"{source}: patient '{key}' is in both {earlier} and {split}",
                    mend="keep all scans of a patient in one split, of one part",
                )
