"""Momentum whose every step has singular values of one: dense layers learn all their directions at once.

Gradient steps, Adam's too, learn what varies most first and the rest late; a latent's dense layers then spend
a short training on a few directions. Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) steps along
the polar factor of the momentum instead. Its iteration costs ten products with the whole matrix; here the
factor is exact, from the eigenvectors of the Gram matrix of the matrix's short side, and costs two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Smallest eigenvalue of the Gram matrix that is told from zero, as a part of its trace.
_SMALLEST = 1e-10


class PolarMomentum(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised.

    Parameters
    ----------
    parameters
        Matrices, or groups of them.
    lr
        Norm of the step along each singular direction; for a matrix that is taller than wide, times the root
        of its sides' ratio.
    momentum
        What is kept of the past gradients at each step.
    weight_decay
        Each step shrinks the matrix by this times `lr`, as AdamW's does.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim != 2:
                    raise ValueError(f"polar steps are of matrices, a parameter has {parameter.ndim} axes")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step with the gradients as they are."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                kept = state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                direction = polar_factor(parameter.grad + group["momentum"] * kept)
                rows, columns = parameter.shape
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(direction, alpha=-group["lr"] * math.sqrt(max(1.0, rows / columns)))


def polar_factor(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are one, as far as those of `matrix` are not zero.

    Examples
    --------
    >>> polar_factor(torch.diag(torch.tensor([4.0, 0.5, -2.0]))).diagonal()
    tensor([ 1.,  1., -1.])
    """
    if matrix.shape[0] > matrix.shape[1]:
        return polar_factor(matrix.T).T
    gram = (matrix @ matrix.T).double()
    trace = gram.trace()
    if not trace > 0:
        return torch.zeros_like(matrix)
    values, vectors = torch.linalg.eigh(gram / trace)
    inverse_root = (vectors * values.clamp(min=_SMALLEST).rsqrt()) @ vectors.T
    factor: Tensor = (inverse_root / trace.sqrt()).to(matrix.dtype) @ matrix
    return factor
