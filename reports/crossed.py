"""The columns of one sample resampled together, and the paired differences between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reports.pairs import pairing_words
from reports.sample import Sample, replicates, shared_seeds
from reports.statistics.agreement import PatientSums
from reports.statistics.arrays import Array
from reports.statistics.bootstrap import CrossedBootstrap
from reports.statistics.flips import patient_losses
from reports.statistics.resampled import Replicates, Resampled, combined


class Crossed:
    """Every statistic of every entry, in the same resamples.

    Parameters
    ----------
    sample
        What is resampled.
    pairs
        Entries that are compared: these are paired by the seeds that both have.
    statistics
        Names that `reports.statistics.agreement.statistic` knows.
    draws
        Number of resamples.
    """

    def __init__(
        self, sample: Sample, pairs: Sequence[tuple[str, str]], statistics: Sequence[str], draws: int
    ) -> None:
        self.sample = sample
        self.pairing: dict[tuple[str, str], str] = {}
        self._names: dict[tuple[str, str], tuple[str, str]] = {}
        self._arms = self._paired(pairs)
        bootstrap = CrossedBootstrap(sample.patient_count, draws)
        self.results: Mapping[str, Mapping[str, Resampled]] = bootstrap.resample(self._arms, statistics)

    def _paired(self, pairs: Sequence[tuple[str, str]]) -> dict[str, tuple[PatientSums, Replicates]]:
        """Every entry, and the parts of entries that a pair compares seed by seed."""
        sample, sums = self.sample, self.sample.sums()
        arms = {key: (sums[key], replicates(sample.seeds[key])) for key in sample.values}
        for first, second in pairs:
            common = shared_seeds(sample.seeds[first], sample.seeds[second])
            names = [first, second]
            for side, key in enumerate((first, second) if common else ()):
                kept = [pair[side] for pair in common or ()]
                if kept != list(range(len(sample.seeds[key]))):
                    names[side] = f"{key}@{','.join(map(str, kept))}"
                    own = {name: array[:, kept] for name, array in sums[key].own.items()}
                    seeds = replicates([sample.seeds[key][index] for index in kept])
                    arms[names[side]] = (PatientSums(sums[key].shared, own), seeds)
            self._names[first, second] = (names[0], names[1])
            self.pairing[first, second] = pairing_words(
                arms[names[0]][1], arms[names[1]][1], bool(common), names != [first, second]
            )
        return arms

    def of(self, entry: str, statistic: str) -> Resampled:
        """A statistic of an entry."""
        return self.results[entry][statistic]

    def sums(self, entry: str) -> PatientSums:
        """Sums per patient of an entry."""
        return self._arms[entry][0]

    def replicates(self, entry: str) -> Replicates:
        """What is resampled of an entry beside patients."""
        return self._arms[entry][1]

    def difference(self, first: str, second: str, statistic: str) -> Resampled:
        """First minus second, one of the pairs."""
        one, other = self._names[first, second]
        return self.results[one][statistic].minus(self.results[other][statistic])

    def combination(self, weights: Mapping[str, float], statistic: str) -> Resampled:
        """A weighted sum of entries; those of weight zero do not take part."""
        return combined([(weight, self.of(entry, statistic)) for entry, weight in weights.items() if weight])

    def loss_difference(self, first: str, second: str, statistic: str) -> Array | None:
        """(patients, rows) difference in loss; NaN where it is rounding; `None` if there is no loss."""
        sides = [patient_losses(statistic, *self._arms[key]) for key in self._names[first, second]]
        if sides[0] is None or sides[1] is None:
            return None
        difference = sides[0] - sides[1]
        floor = self.sample.rounding("rmse" if statistic == "r2" else statistic)
        rounding = floor**2 if statistic in ("r2", "rmse") else floor
        return np.where(np.nanmax(np.abs(difference), axis=0, initial=0.0) > rounding, difference, np.nan)

    def spread(self) -> Array:
        """(rows,) variance of the targets: r2 is the squared error in units of it."""
        shared = next(iter(self._arms.values()))[0].shared
        n = np.maximum(shared["n"].sum(0), 1)
        spread = shared["yy"].sum(0) / n - (shared["y"].sum(0) / n) ** 2
        return np.where(spread > 0, spread, np.nan)
