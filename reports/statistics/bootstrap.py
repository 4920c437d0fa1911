"""The crossed bootstrap: patients and seeds are resampled at once, the same for every arm.

The test patients are the same for every arm and every seed, so a result has two crossed sources of chance:
which seeds were drawn and which patients were seen. Both are resampled at once, the same patients for every
arm and the same seeds for arms that share them (the multi-bootstrap of Sellam et al. 2022, arXiv 2106.16163).

Each source is resampled with one draw fewer than it has units (McCarthy & Snowden 1985): the usual bootstrap
underestimates a variance by (S - 1)/S, half of it for two seeds.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from reports.statistics.agreement import SHARED, PatientSums, needed, statistic
from reports.statistics.arrays import Array
from reports.statistics.resampled import Replicates, Resampled

DRAWS = 5_000
PATIENT_DRAWS = 2_000
#: Rows times replicates times draws held at once; keeps a chunk in about 100 MB.
CHUNK = 2_000_000


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
            Names that `reports.statistics.agreement.statistic` knows.

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
