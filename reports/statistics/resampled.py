"""A statistic of an arm in the data and in every resample, and linear combinations of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports.statistics.arrays import Array

Kind = Literal["pretraining", "label", "seed", "none"]


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
