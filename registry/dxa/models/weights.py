"""Weights between torch modules and the arrays of an artifact."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from registry.contracts import InputError, Weights


def weights_of(module: nn.Module) -> Weights:
    """The state dictionary of `module` as arrays, on the CPU and independent of the module."""
    return {
        name: np.array(tensor.detach().cpu().numpy(), order="C")
        for name, tensor in module.state_dict().items()
    }


def load_weights(module: nn.Module, weights: Weights, *, what: str) -> None:
    """Load `weights` into `module`; every tensor of both must match.

    Raises
    ------
    InputError
        Names `what`, the tensor and the mismatch.
    """
    wanted = module.state_dict()
    for problem, names in (
        ("lack", wanted.keys() - weights.keys()),
        ("have the unknown tensor", weights.keys() - wanted.keys()),
    ):
        if names:
            raise InputError(
                f"weights of the {what} {problem} {min(names)!r} ({len(names)} in all)",
                mend="make the weights again with the same settings",
            )
    for name, tensor in wanted.items():
        if tuple(weights[name].shape) != tuple(tensor.shape):
            raise InputError(
                f"tensor {name!r} of the {what} has the shape {tuple(weights[name].shape)}, "
                f"expected {tuple(tensor.shape)}",
                mend="make the weights again with the same settings",
            )
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
