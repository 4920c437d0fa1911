"""Variance, invariance and covariance of two views' features (Bardes, Ponce and LeCun 2022, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Deviation that every feature shall have, and what keeps its root differentiable.
_DEVIATION, _EPSILON = 1.0, 1e-4


def vicreg_terms(one: Tensor, other: Tensor) -> dict[str, Tensor]:
    """The three terms, without weights, of (n, d) features of two views of n scans.

    `invariance` is the mean squared difference; `variance` by how much each feature's deviation falls short
    of 1, averaged over features and views; `covariance` the squared off-diagonal covariances over d, summed
    over both views.

    Examples
    --------
    >>> views = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    >>> {name: round(term.item(), 3) for name, term in vicreg_terms(views, views).items()}
    {'invariance': 0.0, 'variance': 0.0, 'covariance': 8.0}
    """
    return {
        "invariance": functional.mse_loss(one, other),
        "variance": (_shortfall(one) + _shortfall(other)) / 2,
        "covariance": _redundancy(one) + _redundancy(other),
    }


def _shortfall(features: Tensor) -> Tensor:
    return functional.relu(_DEVIATION - torch.sqrt(features.var(0) + _EPSILON)).mean()


def _redundancy(features: Tensor) -> Tensor:
    count, size = features.shape
    centred = features - features.mean(0)
    covariance = centred.T @ centred / (count - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / size
