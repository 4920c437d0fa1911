"""Ratios of two channels as differentiable three-channel images: the R term of the loss and its control.

``energy``    low over high energy of the air, bone and tissue phases: the patient's R, and R behind a filter
``phase``     the same arithmetic between two phases of one energy: no energy contrast, hence no physics
``released``  the nine images of the published implementation (github.com/LambertLeong/DXA-VAE)

Attenuation is taken above the stored offset unless it is to be kept. Where nothing is in the way R is noise
over noise: `energy` and `phase` show a constant wherever the true scan does not attenuate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from registry.contracts import InputError
from registry.dxa.imaging.channels import CHANNELS, MAXIMUM_CODE, OFFSET_COUNTS
from registry.dxa.imaging.r_image import MINIMUM_COUNTS

#: What `r_offset` may be, and the counts that are subtracted then.
OFFSETS = {"subtracted": OFFSET_COUNTS, "kept": 0.0}
#: Smallest value of the published implementation, which sees codes as parts of the largest one.
_RELEASED_FLOOR = 1 / MAXIMUM_CODE


@dataclass(frozen=True)
class _Pairs:
    """Three ratios, and the range that the network sees as [0, 1]."""

    over: tuple[str, str, str]
    under: tuple[str, str, str]
    low: float
    width: float

    def indices(self) -> tuple[list[int], list[int]]:
        return [CHANNELS.index(name) for name in self.over], [CHANNELS.index(name) for name in self.under]


_PAIRS = {
    "energy": _Pairs(("air_lo", "bone_lo", "tissue_lo"), ("air_hi", "bone_hi", "tissue_hi"), 0.9, 0.8),
    "phase": _Pairs(("air_hi", "air_lo", "tissue_hi"), ("bone_hi", "tissue_lo", "bone_hi"), 0.2, 0.8),
}
#: What `r_variant` may be.
VARIANTS = (*_PAIRS, "released")


def ratio_images(variant: str, offset: str) -> Callable[[Tensor, Tensor], Sequence[Tensor]]:
    """The images of one variant.

    Parameters
    ----------
    variant
        `energy`, `phase` or `released`.
    offset
        Whether the stored offset is `subtracted` from the codes first or `kept`.

    Returns
    -------
    Callable
        From (n, 6, height, width) counts and the true scans, which decide the mask, to (n, 3, height, width)
        images, of which about [0, 1] matters.

    Raises
    ------
    InputError
        If there is no such variant or way with the offset.
    """
    for name, value, known in (("r_variant", variant, VARIANTS), ("r_offset", offset, tuple(OFFSETS))):
        if value not in known:
            raise InputError(
                f"factor {name!r} = {value!r} is not known", mend=f"choose one of {', '.join(known)}"
            )
    pedestal = OFFSETS[offset]
    if variant == "released":
        return lambda scans, true: released_images(scans - pedestal)
    pairs = _PAIRS[variant]
    over, under = pairs.indices()
    floor = OFFSET_COUNTS + MINIMUM_COUNTS - pedestal

    def images(scans: Tensor, true: Tensor) -> list[Tensor]:
        found = ratio(scans[:, over] - pedestal, scans[:, under] - pedestal, floor)
        # Nothing in the way: equal attenuation, the same constant in both images.
        masked = torch.where(body_mask(true), found, 1.0)
        return [(masked - pairs.low) / pairs.width]

    return images


def ratio(over: Tensor, under: Tensor, floor: float) -> Tensor:
    """`over` / `under`; for `under` below `floor`, 1 / under is continued by its tangent at the floor.

    So no gradient vanishes, as behind a clamp, and none explodes.

    Examples
    --------
    >>> ratio(torch.tensor([650.0, 240.0]), torch.tensor([500.0, 0.0]), floor=240.0).tolist()
    [1.2999999523162842, 2.0]
    """
    inverse = 1 / under.clamp(min=floor)
    tangent = (2 * floor - under) / floor**2
    return over * torch.where(under > floor, inverse, tangent)


def body_mask(scans: Tensor) -> Tensor:
    """Pixels that attenuate in the air phase of true scans: (n, 1, height, width), boolean."""
    return scans[:, :1] - OFFSET_COUNTS > MINIMUM_COUNTS


def released_images(codes: Tensor) -> list[Tensor]:
    """The nine images that the published implementation compares, of (n, 6, height, width) codes.

    With c(x) = x - air, the phases as calibrated and c(air) = 0, the groups are
    air: (air, bone + c(bone), tissue + c(tissue)), tissue: (air, bone, tissue) + c(tissue) and
    bone: (air, bone, tissue) + c(bone); each as low / high, high and low. Sums are clipped to
    [1 / 16383, 1] of the largest code. Where it shows the air group in high and in low energy, the second
    channel is air + c(bone) instead (two names look swapped there); so it is here.
    """
    high, low = (_groups(codes[:, start::2] / MAXIMUM_CODE) for start in (0, 1))
    images = []
    for name, shown in (("air", "air as shown"), ("tissue", "tissue"), ("bone", "bone")):
        images += [low[name] / high[name], high[shown], low[shown]]
    return images


def _groups(phases: Tensor) -> dict[str, Tensor]:
    """Sums of phases of one energy, (n, 3, height, width) each, from (n, 3, height, width)."""
    air, bone, tissue = phases.unbind(1)
    to_bone, to_tissue = bone - air, tissue - air
    sums = {
        "air": (air, bone + to_bone, tissue + to_tissue),
        "air as shown": (air, air + to_bone, tissue + to_tissue),
        "tissue": (air + to_tissue, bone + to_tissue, tissue + to_tissue),
        "bone": (air + to_bone, bone + to_bone, tissue + to_bone),
    }
    return {name: torch.stack(images, 1).clamp(_RELEASED_FLOOR, 1.0) for name, images in sums.items()}
