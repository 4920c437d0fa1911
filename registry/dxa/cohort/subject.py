"""One patient from a seed: body, visits, maps, scans and measures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from registry.contracts import DataError
from registry.dxa.cohort.anthropometry import anthropometry
from registry.dxa.cohort.bodies import Body, BodyModel, body_model
from registry.dxa.cohort.composition import Composition, Specimen, compose
from registry.dxa.cohort.detector import detector_samples
from registry.dxa.cohort.individual import Individual, sample_individual
from registry.dxa.cohort.phenotypes import Phenotypes, sample_phenotypes, shape_coefficients
from registry.dxa.cohort.pose import (
    Habit,
    fits_field,
    fitting_arm_angles,
    legs_apart,
    place,
    posed_within_field,
    sample_placement,
    sample_pose,
)
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.truth import composition_measures
from registry.dxa.cohort.variation import LocalShape, apply_local_shape, lying, sample_local_shape
from registry.dxa.imaging.scanner import Scan, Scanner

# Bodies outside are drawn again: the sampled phenotypes reach beyond what tables and tables of data hold.
BMI_RANGE_KG_M2 = {"child": (12.0, 38.0), "adult": (16.0, 45.0)}
ADULT_YEARS = 18.0
MAXIMUM_ATTEMPTS = 200
# A body that does not fit lies straighter, as an operator would ask for: shares of its curve and rotation.
STRAIGHTENING = (1.0, 0.5, 0.0)
# Mean density of the body for the BMI of a shape, before its composition is known.
BODY_DENSITY_KG_L = 1.01

# One stream of random numbers for each purpose, so that a change in one leaves the others alone.
_BODY, _VISIT, _NOISE, _HABIT = range(4)


@dataclass(frozen=True)
class Visit:
    """One visit: the scan and everything that is known about it.

    Parameters
    ----------
    number
        From 1.
    phenotypes
        What the body was drawn from.
    rest
        Rest-pose body.
    composition
        The true maps.
    scan
        The six channels.
    measures
        The 15 measures of the surface and the 13 of composition, by name.
    implants
        Metal in the body, by name.
    """

    number: int
    phenotypes: Phenotypes
    rest: Body
    composition: Composition
    scan: Scan
    measures: dict[str, float]
    implants: tuple[str, ...] = ()

    @property
    def mass_kg(self) -> float:
        """Mass of the true maps."""
        return self.measures["total_mass_kg"]

    @property
    def bmi_kg_m2(self) -> float:
        """Mass over squared stature."""
        return self.mass_kg / (self.rest.stature_cm / 100.0) ** 2


@dataclass(frozen=True)
class Patient:
    """A simulated patient.

    Parameters
    ----------
    planned
        What was asked for.
    visits
        In order.
    resampled
        How many bodies were drawn and given up because they were out of range or left the field.
    reposed
        How often a pose was changed so that a body stayed within the field.
    """

    planned: PlannedPatient
    visits: tuple[Visit, ...]
    resampled: int
    reposed: int


@dataclass(frozen=True)
class _Lying:
    """A body that lies on the table."""

    phenotypes: Phenotypes
    individual: Individual
    rest: Body
    placed: Body
    reposed: int


def simulate_patient(specification: CohortSpecification, planned: PlannedPatient) -> Patient:
    """Simulate every visit of a patient; a pure function of its arguments.

    A second visit is the same person some time later: somewhat heavier or lighter, lying differently.

    Raises
    ------
    DataError
        If no body fits the field, which only extreme variations can cause.
    """
    model = body_model()
    for attempt in range(MAXIMUM_ATTEMPTS):
        bodies = _draw_visits(model, specification, planned, attempt)
        if bodies is not None:
            visits = tuple(
                _scan_visit(model, specification, planned, number, body)
                for number, body in enumerate(bodies, 1)
            )
            return Patient(planned, visits, attempt, sum(body.reposed for body in bodies))
    raise DataError(
        f"no body of patient {planned.key} fitted the field in {MAXIMUM_ATTEMPTS} attempts",
        mend="reduce the cohort's pose or shape variation",
    )


def simulate_repeats(
    specification: CohortSpecification, planned: PlannedPatient, repeats: int
) -> tuple[Visit, ...]:
    """Scan one unchanged body several times, laid on the table anew each time; for studies of precision.

    The first scan is the patient's first visit; ``planned.visits`` does not matter.

    Raises
    ------
    DataError
        If no body fits the field every time, which only extreme variations can cause.
    """
    model = body_model()
    for attempt in range(MAXIMUM_ATTEMPTS):
        generator = _generator(specification, planned.number, _BODY, attempt)
        phenotypes = sample_phenotypes(model, planned.sex, planned.age_years, generator)
        local = sample_local_shape(model, specification.shape, planned.sex, generator)
        person = (phenotypes, local, sample_individual(specification, phenotypes, generator))
        drawn = [
            _lie_down(
                model,
                specification,
                person,
                (
                    _generator(specification, planned.number, _HABIT, attempt),
                    _generator(specification, planned.number, _VISIT, attempt, n),
                ),
            )
            for n in range(1, repeats + 1)
        ]
        bodies = [body for body in drawn if body is not None]
        if len(bodies) == repeats:
            return tuple(
                _scan_visit(model, specification, planned, number, body)
                for number, body in enumerate(bodies, 1)
            )
    raise DataError(
        f"no body of patient {planned.key} fitted the field {repeats} times in {MAXIMUM_ATTEMPTS} attempts",
        mend="reduce the cohort's pose or shape variation",
    )


def _generator(specification: CohortSpecification, *path: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(specification.seed, spawn_key=path))


def _draw_visits(
    model: BodyModel, specification: CohortSpecification, planned: PlannedPatient, attempt: int
) -> list[_Lying] | None:
    """The bodies of all visits, or None if one is out of range or leaves the field."""
    generator = _generator(specification, planned.number, _BODY, attempt)
    phenotypes = sample_phenotypes(model, planned.sex, planned.age_years, generator)
    local = sample_local_shape(model, specification.shape, planned.sex, generator)
    individual = sample_individual(specification, phenotypes, generator)
    bodies = []
    for number in range(1, planned.visits + 1):
        visit = _generator(specification, planned.number, _VISIT, attempt, number)
        if number > 1:
            phenotypes, individual = _later(phenotypes, individual, visit)
        habit = _generator(specification, planned.number, _HABIT, attempt)
        body = _lie_down(model, specification, (phenotypes, local, individual), (habit, visit))
        if body is None:
            return None
        bodies.append(body)
    return bodies


def _later(
    phenotypes: Phenotypes, individual: Individual, generator: np.random.Generator
) -> tuple[Phenotypes, Individual]:
    """The same person half a year to two years on."""
    age = phenotypes.age_years + float(generator.uniform(0.5, 2.0))
    weight = max(0.0, phenotypes.weight + float(generator.normal(0.0, 0.05)))
    fat = individual.fat_percent_points + float(generator.normal(0.0, 0.7))
    bone = individual.bone_factor * float(np.exp(generator.normal(0.0, 0.01)))
    return (
        dataclasses.replace(phenotypes, age_years=age, weight=weight),
        dataclasses.replace(individual, fat_percent_points=fat, bone_factor=bone),
    )


def _lie_down(
    model: BodyModel,
    specification: CohortSpecification,
    person: tuple[Phenotypes, LocalShape, Individual],
    generators: tuple[np.random.Generator, np.random.Generator],
) -> _Lying | None:
    """Lay a person down with the generators of their habit and of this scan; None if they do not fit."""
    phenotypes, local, individual = person
    rest = model.rest(shape_coefficients(model, phenotypes) + local.coefficients)
    rest = apply_local_shape(model, rest, local)
    stature_m = rest.stature_cm / 100.0
    bmi = BODY_DENSITY_KG_L * rest.volume_cm3(model.faces) / 1000.0 / stature_m**2
    low, high = BMI_RANGE_KG_M2["adult" if phenotypes.age_years >= ADULT_YEARS else "child"]
    if not low <= bmi <= high:
        return None
    resting = lying(model, rest, local)
    variation = specification.pose
    habit = Habit(*generators, variation.repositioning_share)
    pose = legs_apart(model, resting, sample_pose(variation, (30.0, 30.0), habit))
    pose = dataclasses.replace(pose, arms=fitting_arm_angles(model, resting, pose, variation, habit))
    habit = dataclasses.replace(habit, share=specification.placement.repositioning_share)
    placement = sample_placement(specification.placement, habit)
    for straightening, share in enumerate(STRAIGHTENING):
        posed, changes = posed_within_field(model, resting, pose.straightened(share))
        turned = dataclasses.replace(placement, rotation_deg=share * placement.rotation_deg)
        placed = place(posed, turned)
        if fits_field(placed):
            return _Lying(phenotypes, individual, rest, placed, changes + straightening)
    return None


def _scan_visit(
    model: BodyModel, specification: CohortSpecification, planned: PlannedPatient, number: int, body: _Lying
) -> Visit:
    generator = _generator(specification, planned.number, _NOISE, number)
    specimen = Specimen(model, body.placed, body.rest.stature_cm, body.phenotypes, body.individual)
    composition = compose(specimen, specification, generator)
    settings = specification.scanner
    scanner = Scanner(photons=settings.photons or None, mode=settings.mode)
    densities, implants_g_cm2 = composition.densities_g_cm2, composition.implants_g_cm2
    if settings.averaging == "intensity":
        densities, implants_g_cm2 = detector_samples(specimen, composition)
    scan = scanner.scan(densities, generator, implants_g_cm2=implants_g_cm2)
    measures = anthropometry(model, body.rest) | composition_measures(composition)
    implants = body.individual.implants
    return Visit(number, body.phenotypes, body.rest, composition, scan, measures, implants)
