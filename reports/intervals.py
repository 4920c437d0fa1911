r"""Intervals that allow for both few seeds and few patients: the crossed bootstrap.

The test patients are the same for every arm and every seed, so a result :math:`\theta_{si}` has two crossed
sources of chance: which seeds were drawn and which patients were seen. Both are resampled at once, the same
patients for every arm and the same seeds for arms that share them (the multi-bootstrap of Sellam et al. 2022,
arXiv 2106.16163). From the draws comes a standard error; the interval is value :math:`\pm\, t \cdot` standard
error, with the degrees of freedom of a two-way layout:

.. math::
    \nu = \frac{(M_s + M_p - M_e)^2}{M_s^2/(S-1) + M_p^2/(N-1) + M_e^2/((S-1)(N-1))}, \quad \nu \ge S - 1

with the mean squares of seeds, patients and residual of the jackknife pseudovalues
:math:`N\theta_s - (N-1)\theta_{s(-i)}` (Dorfman, Berbaum & Metz 1992; Hillis 2007).

Each source is resampled with one draw fewer than it has units (McCarthy & Snowden 1985): the usual bootstrap
underestimates a variance by (S - 1)/S, half of it for two seeds. For a mean the squared standard error is
then exactly :math:`(M_s + M_p + M_e)/(SN)`, which counts the residual twice too often (Owen 2007: no
bootstrap of crossed data is exact): the intervals err on the wide side.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reports.agreement import SHARED, PatientSums, needed, statistic

Array = NDArray[np.float64]
Kind = Literal["pretraining", "label", "seed", "none"]

DRAWS = 5_000
PATIENT_DRAWS = 2_000
LEVEL = 0.95

#: Rows times replicates times draws held at once; keeps a chunk in about 100 MB.
CHUNK = 2_000_000


@dataclass(frozen=True)
class Replicates:
    """The repetitions of an arm and the units in which they are resampled.

    Parameters
    ----------
    kind
        What a unit is: `pretraining` seeds (their final seeds inside), `label` draws (subsets of the labels),
        final `seed`, or `none`: one trial.
    units
        Label of every unit.
    unit_of
        (replicates,) index of each replicate's unit.
    """

    kind: Kind
    units: tuple[int, ...]
    unit_of: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.units)

    def averaging(self) -> Array:
        """(units, replicates) matrix that averages the replicates inside each unit."""
        matrix = np.zeros((self.count, len(self.unit_of)))
        matrix[list(self.unit_of), range(len(self.unit_of))] = 1.0
        return np.asarray(matrix / matrix.sum(1, keepdims=True))


#: One trial: there is nothing to resample beside patients.
SINGLE = Replicates("none", (0,), (0,))


@dataclass(frozen=True)
class Resampled:
    """One statistic of one arm, for every row.

    Parameters
    ----------
    value
        (rows,) the mean over units of the mean over their replicates.
    draws
        (draws, rows) the same in every resample.
    pseudovalues
        (units, patients, rows), for the degrees of freedom.
    replicates
        What was resampled beside patients.
    patient_draws
        (patient draws, rows) the same in resamples of the patients alone, the seeds as they are.
    """

    value: Array
    draws: Array
    pseudovalues: Array
    replicates: Replicates
    patient_draws: Array

    @property
    def left_out(self) -> Array:
        """(patients, rows) the value without each patient, from the pseudovalues."""
        patients = self.pseudovalues.shape[1]
        return np.asarray((patients * self.value - self.pseudovalues.mean(0)) / ((patients - 1) or np.nan))

    def mean_over(self, rows: Sequence[int]) -> Resampled:
        """The mean over `rows`, resampled as a whole: one row."""
        index = list(rows)
        return Resampled(
            self.value[index].mean(0, keepdims=True),
            self.draws[:, index].mean(1, keepdims=True),
            self.pseudovalues[:, :, index].mean(2, keepdims=True),
            self.replicates,
            self.patient_draws[:, index].mean(1, keepdims=True),
        )

    def minus(self, other: Resampled) -> Resampled:
        """The difference to another arm, drawn with the same patients (and seeds, where they are shared).

        See `combined`.
        """
        return combined([(1.0, self), (-1.0, other)])


@dataclass(frozen=True)
class Unpaired(Resampled):
    """A combination of arms whose seeds have nothing in common.

    Parameters
    ----------
    others
        (units, patients, rows) of every further group of arms that share their seeds; `pseudovalues` are
        those of the first group. All carry their weights, so that the groups add up.
    """

    others: tuple[Array, ...] = ()

    @property
    def left_out(self) -> Array:
        """As of `Resampled`, from all groups."""
        patients = self.pseudovalues.shape[1]
        whole = sum((one.mean(0) for one in (self.pseudovalues, *self.others)), np.zeros(()))
        return np.asarray((patients * self.value - whole) / ((patients - 1) or np.nan))


def combined(weighted: Sequence[tuple[float, Resampled]]) -> Resampled:
    """A linear combination of arms (a difference, a main effect), drawn with the same patients.

    Arms with the same seeds are combined seed by seed. A single trial is the same in every resample of the
    others' seeds. Groups of arms that share no seeds are resampled one by one: see `Unpaired`.

    Parameters
    ----------
    weighted
        Weight and arm; at least one.
    """
    first = weighted[0][1]
    value = np.asarray(sum(weight * one.value for weight, one in weighted))
    draws = np.asarray(sum(weight * one.draws for weight, one in weighted))
    alone = np.asarray(sum(weight * one.patient_draws for weight, one in weighted))
    groups: dict[Replicates, Array] = {}
    for weight, one in weighted:
        key = one.replicates if one.replicates.count > 1 else SINGLE
        groups[key] = groups.get(key, 0.0) + weight * one.pseudovalues
    fixed = groups.pop(SINGLE, None)
    if not groups:
        return Resampled(value, draws, np.asarray(fixed), first.replicates, alone)
    (replicates, pseudovalues), *rest = groups.items()
    if fixed is not None:
        pseudovalues = pseudovalues + fixed
    if not rest:
        return Resampled(value, draws, pseudovalues, replicates, alone)
    return Unpaired(value, draws, pseudovalues, replicates, alone, tuple(one for _, one in rest))


@dataclass(frozen=True)
class Estimate:
    """A number and how sure it is.

    Parameters
    ----------
    value, low, high
        The number and its 95 % interval; `None` where undefined.
    standard_error, degrees_of_freedom
        Of the interval low, high = value -+ t(degrees_of_freedom) * standard_error.
    undefined_draws
        Share of resamples in which the statistic did not exist (no spread of the targets).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    undefined_draws: float = 0.0


class CrossedBootstrap:
    """Resampling weights for one set of test patients, the same for every arm.

    Parameters
    ----------
    patients
        Number of patients: the clusters that are drawn. All scans of a patient come along.
    draws
        Number of resamples.
    seed
        Same seed, same weights, in whatever order arms are asked for.
    """

    def __init__(self, patients: int, draws: int = DRAWS, seed: int = 0) -> None:
        self.patients = patients
        self.draws = draws
        self.seed = seed

    def patient_weights(self) -> Array:
        """(draws, patients) counts of N - 1 draws out of N patients, scaled to sum to N; read-only."""
        return _patient_weights(self.patients, self.draws, self.seed)

    def seed_weights(self, replicates: Replicates) -> Array:
        """(draws, units) weights that sum to 1; arms with the same units get the same weights."""
        label = zlib.crc32(repr((replicates.kind, replicates.units)).encode())
        rng = np.random.default_rng([self.seed, 1, label])
        return _counts(rng, self.draws, replicates.count) / replicates.count

    def whole_patient_weights(self) -> Array:
        """(patient draws, patients) counts of N draws out of N: the textbook's bootstrap; read-only."""
        return _whole_patient_weights(self.patients, min(self.draws, PATIENT_DRAWS), self.seed)

    def resample(
        self, arms: Mapping[str, tuple[PatientSums, Replicates]], statistics: Sequence[str]
    ) -> dict[str, dict[str, Resampled]]:
        """Every statistic of every arm, in the data and in every resample.

        Parameters
        ----------
        arms
            Sums per patient and the replicates of each arm; the `shared` sums are the same in all of them.
        statistics
            Names that `reports.agreement.statistic` knows.

        Returns
        -------
        dict
            Arm to statistic to `Resampled`.
        """
        patient_weights, whole_weights = self.patient_weights(), self.whole_patient_weights()
        results: dict[str, dict[str, Resampled]] = {}
        for name, (sums, replicates) in arms.items():
            weights = self.seed_weights(replicates) @ replicates.averaging()
            rows = sums.shared["n"].shape[1]
            size = max(1, CHUNK // (rows * len(replicates.unit_of)))
            parts = [slice(start, start + size) for start in range(0, self.draws, size)]
            draws = {one: np.empty((self.draws, rows)) for one in statistics}
            alone = {one: np.empty((len(whole_weights), rows)) for one in statistics}
            average = replicates.averaging()
            fixed = average.mean(0)
            for part in parts:
                drawn = _weighted(patient_weights[part], sums, needed(statistics))
                for one in statistics:
                    draws[one][part] = np.einsum("bsr,bs->br", statistic(one, drawn), weights[part])
            for part in parts:
                drawn = _weighted(whole_weights[part], sums, needed(statistics))
                for one in statistics:
                    alone[one][part] = np.einsum("bsr,s->br", statistic(one, drawn), fixed)
            for one in statistics:
                whole, pseudovalues = jackknife(one, sums)
                results.setdefault(name, {})[one] = Resampled(
                    (average @ whole).mean(0),
                    draws[one],
                    np.einsum("us,psr->upr", average, pseudovalues),
                    replicates,
                    alone[one],
                )
        return results


def jackknife(name: str, sums: PatientSums) -> tuple[Array, Array]:
    """The statistic (replicates, rows) and its pseudovalues (patients, replicates, rows)."""
    totals = {key: value.sum(0, keepdims=True) for key, value in _features(sums, needed([name])).items()}
    left_out = {key: totals[key] - value for key, value in _features(sums, needed([name])).items()}
    patients = sums.shared["n"].shape[0]
    whole = statistic(name, totals)
    pseudovalues = patients * whole - (patients - 1) * statistic(name, left_out)
    return whole[0], pseudovalues


def estimate(resampled: Resampled, level: float = LEVEL) -> list[Estimate]:
    """Standard error times t, for every row.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sums = PatientSums({"n": np.ones((50, 1))}, {"v": rng.normal(size=(50, 1, 1))})
    >>> arms = {"a": (sums, Replicates("none", (0,), (0,)))}
    >>> result = estimate(CrossedBootstrap(50).resample(arms, ["mean"])["a"]["mean"])[0]
    >>> result.degrees_of_freedom
    49.0
    """
    finite = np.isfinite(resampled.draws)
    undefined = 1 - finite.mean(0)
    errors = np.full(resampled.value.shape, np.nan)
    for row in range(len(errors)):
        draws = resampled.draws[finite[:, row], row]
        if undefined[row] <= 0.1 and len(draws) > 1:
            errors[row] = draws.std(ddof=1)
    freedom = degrees_of_freedom(resampled)
    half = special.stdtrit(freedom, 0.5 + level / 2) * errors
    return [
        Estimate(
            _number(value),
            _number(value - width),
            _number(value + width),
            _number(error),
            _number(nu),
            float(lost),
        )
        if np.isfinite(value)
        else Estimate(None, undefined_draws=float(lost))
        for value, width, error, nu, lost in zip(
            resampled.value, half, errors, freedom, undefined, strict=True
        )
    ]


def degrees_of_freedom(resampled: Resampled) -> Array:
    """Degrees of freedom of every row; the formula is this module's.

    With one unit they are N - 1. Where two arms have no seeds in common, each arm's seeds are a component of
    their own (Satterthwaite 1946), and the floor is the smaller number of seeds minus one.
    """
    seeds, patients, _ = resampled.pseudovalues.shape
    if patients < 2:
        return np.full(resampled.value.shape, np.nan)
    if isinstance(resampled, Unpaired):
        return _unpaired_freedom((resampled.pseudovalues, *resampled.others))
    if seeds == 1:
        return np.full(resampled.value.shape, patients - 1.0)
    of_seeds, of_patients, residual = mean_squares(resampled.pseudovalues)
    total = np.maximum(of_seeds + of_patients - residual, 0)
    below = (
        of_seeds**2 / (seeds - 1)
        + of_patients**2 / (patients - 1)
        + residual**2 / ((seeds - 1) * (patients - 1))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(below > 0, total**2 / below, patients - 1.0)
    return np.asarray(np.maximum(freedom, seeds - 1.0))


def mean_squares(values: Array) -> tuple[Array, Array, Array]:
    """Mean squares of a two-way layout (seeds, patients, rows) (no repetition): seeds, patients, residual."""
    seeds, patients, _ = values.shape
    by_seed, by_patient, mean = values.mean(1), values.mean(0), values.mean((0, 1))
    residual = values - by_seed[:, None] - by_patient[None] + mean
    return (
        patients * ((by_seed - mean) ** 2).sum(0) / (seeds - 1),
        seeds * ((by_patient - mean) ** 2).sum(0) / (patients - 1),
        (residual**2).sum((0, 1)) / ((seeds - 1) * (patients - 1)),
    )


def _unpaired_freedom(groups: Sequence[Array]) -> Array:
    """Each group's seeds are a component of their own, and so are the patients that all share."""
    patients, rows = groups[0].shape[1:]
    parts = [(one.mean(1).var(0, ddof=1) / len(one), len(one) - 1.0) for one in groups]
    whole = sum((one.mean(0) for one in groups), np.zeros(()))
    parts.append((whole.var(0, ddof=1) / patients, patients - 1.0))
    total = sum((variance for variance, _ in parts), np.zeros(rows))
    below = sum((variance**2 / freedom for variance, freedom in parts), np.zeros(rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(below > 0, total**2 / below, patients - 1.0)
    floor = min(len(one) for one in groups) - 1.0
    return np.asarray(np.maximum(freedom, floor), dtype=np.float64)


def _features(sums: PatientSums, names: Sequence[str]) -> dict[str, Array]:
    """The named sums as (patients, replicates or 1, rows)."""
    return {name: sums.shared[name][:, None] if name in SHARED else sums.own[name] for name in names}


def _weighted(weights: Array, sums: PatientSums, names: Sequence[str]) -> dict[str, Array]:
    """Weighted sums over patients: (draws, replicates or 1, rows)."""
    return {
        name: (weights @ value.reshape(len(value), -1)).reshape(len(weights), *value.shape[1:])
        for name, value in _features(sums, names).items()
    }


@lru_cache(maxsize=2)
def _patient_weights(patients: int, draws: int, seed: int) -> Array:
    """Kept for the next table, which mostly has the same patients."""
    weights = _counts(np.random.default_rng([seed, 0]), draws, patients)
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=2)
def _whole_patient_weights(patients: int, draws: int, seed: int) -> Array:
    rng = np.random.default_rng([seed, 3])
    weights = rng.multinomial(patients, [1 / patients] * patients, size=draws).astype(float)
    weights.setflags(write=False)
    return weights


def _counts(rng: np.random.Generator, draws: int, units: int) -> Array:
    """How often each unit was drawn in units - 1 draws, scaled so that the counts sum to the units."""
    if units == 1:
        return np.ones((draws, 1))
    picked = rng.integers(units, size=(draws, units - 1))
    picked += np.arange(draws)[:, None] * units
    counts = np.bincount(picked.ravel(), minlength=draws * units).reshape(draws, units)
    return np.asarray(counts * (units / (units - 1)), dtype=np.float64)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
