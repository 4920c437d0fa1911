"""How much of a cohort is linear, and what each source of variation adds: spectra and linear baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits

from registry.dxa.cohort.measures import ANTHROPOMETRY, COMPOSITION
from registry.dxa.cohort.sources import SOURCES, without
from registry.dxa.cohort.specification import CohortSpecification, PartSpecification
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.subject import simulate_patient

Array = npt.NDArray[np.float64]

# Scans for learning, for choosing the penalty and for judging: those of the suite `quick`.
TRAIN, VALIDATION, TEST = 120, 54, 106
SHOWN_COMPONENTS = (1, 4, 16, 64)
RIDGE_COMPONENTS = (16, 64)
PENALTIES = tuple(10.0**power for power in range(-2, 5))
# People of these studies; no cohort and no study of the analyser has their numbers.
SEED, FIRST_NUMBER = 2206_06663, 20_000_000
_MEASURES = [measure.name for measure in (*ANTHROPOMETRY, *COMPOSITION)]


@dataclass(frozen=True)
class Variety:
    """What one setting of the sources leads to.

    Parameters
    ----------
    off
        Sources that are switched off.
    variance
        Share of the scans' variance in the first components, by how many.
    anthropometry_r2, composition_r2
        Mean R2 on test of ridge regression on so many principal scores.
    """

    off: tuple[str, ...]
    variance: dict[int, float]
    anthropometry_r2: dict[int, float]
    composition_r2: dict[int, float]


def variety_study(workers: int = 2, progress: Callable[[int, int], None] | None = None) -> Iterator[Variety]:
    """Measure the cohort with all sources, without each in turn, and with none.

    The same people are simulated each time; what is switched off leaves their other random numbers alone.
    """
    settings: list[tuple[str, ...]] = [(), *((source,) for source in SOURCES), tuple(SOURCES)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for number, off in enumerate(settings, 1):
            people = range(TRAIN + VALIDATION + TEST)
            found = list(pool.map(_simulate, [off] * len(people), people, chunksize=10))
            yield measure_variety(off, np.stack([scan for scan, _ in found]), np.array([m for _, m in found]))
            if progress is not None:
                progress(number, len(settings))


def measure_variety(off: tuple[str, ...], scans: npt.NDArray[np.float32], measures: Array) -> Variety:
    """Spectrum of the scans, and ridge regression on their principal scores.

    Parameters
    ----------
    off
        Recorded with the result.
    scans
        Flattened, train, then validation, then test, shape (scans, values).
    measures
        The 28 measures, shape (scans, 28).
    """
    spectrum = PCA(n_components=max(SHOWN_COMPONENTS), svd_solver="full").fit(scans)
    cumulated = np.cumsum(spectrum.explained_variance_ratio_)
    components = PCA(n_components=max(RIDGE_COMPONENTS), svd_solver="full").fit(scans[:TRAIN])
    scores = components.transform(scans)
    r2 = {count: _ridge_r2(scores[:, :count], measures) for count in RIDGE_COMPONENTS}
    surface = len(ANTHROPOMETRY)
    return Variety(
        off,
        {count: float(cumulated[count - 1]) for count in SHOWN_COMPONENTS},
        {count: float(np.mean(values[:surface])) for count, values in r2.items()},
        {count: float(np.mean(values[surface:])) for count, values in r2.items()},
    )


def variety_markdown(rows: Sequence[Variety]) -> str:
    """The table of the cohort's page."""
    spectrum = [f"{count} comp." for count in SHOWN_COMPONENTS]
    ridge = [f"surface R2, {count}" for count in RIDGE_COMPONENTS]
    ridge += [f"composition R2, {count}" for count in RIDGE_COMPONENTS]
    header = ("switched off", *spectrum, *ridge)
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in rows:
        name = {0: "nothing", 1: ", ".join(row.off)}.get(len(row.off), "all of them")
        cells = [f"{100 * share:.0f} %" for share in row.variance.values()]
        cells += [f"{value:.2f}" for value in (*row.anthropometry_r2.values(), *row.composition_r2.values())]
        lines.append("| " + " | ".join((name, *cells)) + " |")
    return "\n".join(lines)


def _ridge_r2(scores: Array, measures: Array) -> Array:
    """R2 on test of each measure; one penalty for all, chosen on validation."""
    scale = scores[:TRAIN].std(axis=0)
    centre, spread = measures[:TRAIN].mean(axis=0), measures[:TRAIN].std(axis=0)
    inputs, targets = scores / scale, (measures - centre) / spread
    parts = slice(0, TRAIN), slice(TRAIN, TRAIN + VALIDATION), slice(TRAIN + VALIDATION, None)
    train, validation, test = parts
    fitted = [Ridge(alpha=penalty).fit(inputs[train], targets[train]) for penalty in PENALTIES]
    best = max(fitted, key=lambda one: r2_score(targets[validation], one.predict(inputs[validation])))
    return np.asarray(r2_score(targets[test], best.predict(inputs[test]), multioutput="raw_values"))


def _simulate(off: tuple[str, ...], person: int) -> tuple[npt.NDArray[np.float32], list[float]]:
    """One person's scan, averaged over 2 x 2 pixels and flattened, and all measures."""
    part = PartSpecification(train=1, validation=1, test=1)
    specification = CohortSpecification(seed=SEED, pretraining=part, paired=part)
    for source in off:
        specification = without(specification, source)
    youngest, oldest = specification.age_years
    # The golden ratio spreads ages evenly over every stretch of people.
    age = youngest + (oldest - youngest) * ((0.5 + person * 0.6180339887498949) % 1.0)
    number = FIRST_NUMBER + person
    planned = PlannedPatient(number, f"variety-{person}", "male" if person % 2 else "female", age, 1)
    with threadpool_limits(limits=1):
        visit = simulate_patient(specification, planned).visits[0]
    codes = visit.scan.codes[:, :-1].astype(np.float32)
    rows, columns, channels = codes.shape
    coarse = codes.reshape(rows // 2, 2, columns // 2, 2, channels).mean(axis=(1, 3))
    return coarse.ravel(), [visit.measures[name] for name in _MEASURES]
