"""Divergence of the latent's normal distribution from the standard normal one."""

from __future__ import annotations

from torch import Tensor


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence in nats, summed over the latent, averaged over scans.

    Per dimension (mean² + variance - 1 - log variance) / 2 (Kingma and Welling 2014, appendix B).

    Examples
    --------
    >>> import torch
    >>> kl_divergence(torch.ones(1, 4), torch.zeros(1, 4)).item()
    2.0
    """
    per_dimension = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return per_dimension.sum(1).mean()
