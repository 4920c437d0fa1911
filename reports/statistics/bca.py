r"""A second interval over patients alone: bias-corrected and accelerated (Efron 1987).

Seeds are held fixed, so that it speaks about these trained models and new patients only. It follows a skewed
distribution, which value :math:`\pm\, t \cdot` standard error does not. There is no accepted form of it for
crossed data, and none is made up here: it stands beside the primary interval, never in its place.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from reports.statistics.arrays import Array
from reports.statistics.intervals import LEVEL
from reports.statistics.resampled import Resampled


def bca(resampled: Resampled, level: float = LEVEL) -> list[tuple[float, float] | None]:
    r"""The interval of every row; `None` where it does not exist.

    From resamples :math:`\theta^*` of patients and values :math:`\theta_{(-i)}` without each patient:
    :math:`z_0 = \Phi^{-1}(P(\theta^* < \theta))`, acceleration
    :math:`a = \sum u_i^3 / (6 (\sum u_i^2)^{3/2})` with :math:`u_i = \bar\theta_{(\cdot)} - \theta_{(-i)}`,
    quantiles at :math:`\Phi(z_0 + (z_0 + z_q) / (1 - a (z_0 + z_q)))`.
    """
    return [
        _one(value, draws, without, level)
        for value, draws, without in zip(
            resampled.value, resampled.patient_draws.T, resampled.left_out.T, strict=True
        )
    ]


def _one(value: float, draws: Array, without: Array, level: float) -> tuple[float, float] | None:
    kept = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not np.isfinite(without).all() or len(kept) < max(2, 0.9 * len(draws)):
        return None
    below = ((kept < value).mean() + (kept <= value).mean()) / 2
    influence = without.mean() - without
    square = float((influence**2).sum())
    if not 0 < below < 1 or square == 0:
        return None
    bias = float(special.ndtri(below))
    acceleration = float((influence**3).sum()) / (6 * square**1.5)
    shifted = bias + special.ndtri([(1 - level) / 2, (1 + level) / 2])
    shares = special.ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(kept, shares)
    return float(low), float(high)
