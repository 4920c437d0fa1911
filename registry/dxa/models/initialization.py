"""The start of every encoder that is trained from scratch, and batch statistics measured on scans.

Drawn in the ordinary way, a deep network destroys most of what its input says before it has learned anything.
Here every activation starts in the linear piece of its curve and every residual branch starts small, so that
the untrained network passes its input on; `docs/strategies.md` shows what that is worth.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

#: Where the linear piece of an activation lies: its middle for ReLU6, two standard deviations up for ReLU.
_LINEAR_POINT: dict[type, float] = {nn.ReLU6: 3.0, nn.ReLU: 2.0}
#: Weight of the last normalisation of a residual branch.
_RESIDUAL_WEIGHT = 0.2


def start_in_linear_regime(backbone: nn.Module) -> None:
    """Shift every normalised activation of `backbone` into its linear piece; damp residual branches."""
    with torch.no_grad():
        for module in backbone.modules():
            if isinstance(module, _BatchNorm) and module.affine:
                module.weight.fill_(1.0)
                module.bias.fill_(_LINEAR_POINT.get(type(getattr(module, "act", None)), 0.0))
            if getattr(module, "has_skip", False):
                last = [part for part in module.modules() if isinstance(part, _BatchNorm)][-1]
                last.weight.fill_(_RESIDUAL_WEIGHT)


def calibrate_batch_statistics(encoder: nn.Module, scans: Tensor, *, batch_size: int = 64) -> None:
    """Set the running statistics of every batch normalisation to those of `scans`.

    Parameters
    ----------
    encoder
        The module to calibrate; left in evaluation mode.
    scans
        (n, 6, height, width) counts.
    batch_size
        Scans per pass; statistics of the passes are averaged.
    """
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the passes
    encoder.train()
    with torch.no_grad():
        for batch in torch.split(scans, batch_size):
            if len(batch) > 1 or len(scans) == 1:
                encoder(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    encoder.eval()


def set_modes(module: nn.Module, *, train_batch_norm: bool) -> None:
    """Put `module` into training mode, its batch normalisations only if they are to follow the batches."""
    module.train()
    if not train_batch_norm:
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.eval()
