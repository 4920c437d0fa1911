"""Agreement of an arm's first model with the truth: one scan per person, so that people are independent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reports.comparison import ArmAgreement
from reports.multiples import thinned
from reports.sample import Sample
from reports.statistics.arrays import Array
from reports.statistics.limits import agreement

#: Points in one panel; the statistics use everyone.
PAIRS_SHOWN = 200


def arm_agreement(sample: Sample, key: str, changes: Mapping[str, float]) -> ArmAgreement:
    """Agreement in every row, over the scans that count for the table, each person's first one.

    Parameters
    ----------
    sample
        With targets; its scans are sorted by patient and scan.
    key
        A column of the sample; its first replicate is used, the one with the lowest seeds.
    changes
        Least significant changes by row, of the rows that have one.
    """
    if sample.targets is None:
        raise ValueError("scores have no targets to agree with")
    predictions = sample.values[key][0]
    rows, pairs, within = [], [], []
    for row in range(len(sample.rows)):
        used = np.flatnonzero((sample.valid[:, row] > 0) & np.isfinite(predictions[:, row]))
        _, first = np.unique(sample.patients[used], return_index=True)
        scans = used[first]
        targets, predicted = sample.targets[scans, row], predictions[scans, row]
        rows.append(agreement(targets, predicted))
        within.append(_share_within(predicted - targets, changes.get(sample.rows[row])))
        order = np.argsort(targets, kind="stable")
        both = list(zip(targets[order].tolist(), predicted[order].tolist(), strict=True))
        pairs.append(tuple(thinned(both, PAIRS_SHOWN)))
    pretraining, _, final = sample.seeds[key][0]
    return ArmAgreement(key, (pretraining, final), tuple(rows), tuple(pairs), tuple(within))


def _share_within(errors: Array, change: float | None) -> float | None:
    return None if change is None or not len(errors) else float((np.abs(errors) <= change).mean())
