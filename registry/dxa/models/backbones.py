"""timm backbones as feature extractors, with ordinary or with ImageNet weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from registry.contracts import InputError
from registry.dxa.models.pretrained import BUNDLED, pretrained, require_network

__all__ = ["BUNDLED", "Origin", "build_backbone", "configuration"]


@dataclass(frozen=True)
class Origin:
    """Where a network's weights come from.

    Parameters
    ----------
    source
        In words; `random` for untrained ones.
    sha256
        Digest of the pretrained weights; empty for untrained ones.
    """

    source: str
    sha256: str = ""

    def metadata(self) -> dict[str, str]:
        """The same as plain data."""
        return {"source": self.source, "weights_sha256": self.sha256}


def build_backbone(
    name: str, *, stages: tuple[int, ...] | None = (-1,), imagenet: bool = False, folder: Path | None = None
) -> tuple[nn.Module, Origin]:
    """Build a backbone that returns feature maps of the given stages.

    Parameters
    ----------
    name
        Name of a timm model.
    stages
        Which of its stages to return, all where `None`; the default is the deepest one alone.
    imagenet
        Whether to load ImageNet weights (`registry.dxa.models.pretrained`). Without them, weights are drawn
        from torch's random numbers.
    folder
        Where files of weights are looked for first; by default the harness's folder of weights.

    Returns
    -------
    tuple[nn.Module, Origin]
        The module, and where its weights come from.

    Raises
    ------
    InputError
        If the name is not known, the model gives no feature maps, or its ImageNet weights cannot be had.
    """
    require_network(name)
    weights = pretrained(name, folder) if imagenet else None
    options: dict[str, Any] = {} if stages is None else {"out_indices": stages}
    if weights is not None:
        options["pretrained"] = True
        options["pretrained_cfg_overlay"] = {"state_dict": dict(weights.tensors)}
    try:
        backbone = timm.create_model(name, features_only=True, **options)
    except Exception as error:
        raise InputError(
            f"backbone {name!r} cannot give feature maps: {error}",
            mend="choose a convolutional timm model such as 'densenet121'",
        ) from error
    known = {key: value for key, value in configuration(backbone).items() if key != "state_dict"}
    object.__setattr__(backbone, "pretrained_cfg", known)
    origin = Origin("random") if weights is None else Origin(weights.source, weights.sha256())
    return backbone, origin


def configuration(backbone: nn.Module) -> dict[str, Any]:
    """What timm knows about the images a backbone was trained on: `mean`, `std`, its hub and more."""
    return dict(backbone.pretrained_cfg)  # type: ignore[arg-type]
