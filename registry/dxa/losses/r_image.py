"""The R image as a differentiable quantity: low over high energy attenuation, pixel by pixel.

In the air phase R tells what is in the way; the bone and tissue phases add a filter. Where little is in the
way, R is noise over noise: such pixels are masked by the true scan. Counts keep a pedestal (the stored
offset), which bounds the gradient at the edge of the body.
"""

from __future__ import annotations

import torch
from torch import Tensor

from registry.dxa.imaging.channels import OFFSET_COUNTS
from registry.dxa.imaging.r_image import MINIMUM_COUNTS

#: Below this high-energy count 1 / high continues along its tangent: no gradient vanishes or explodes.
_FLOOR_COUNTS = OFFSET_COUNTS + MINIMUM_COUNTS


def r_image(scans: Tensor) -> Tensor:
    """Ratio of low to high energy of the three phases.

    Parameters
    ----------
    scans
        (n, 6, height, width) counts, high before low energy.

    Returns
    -------
    Tensor
        (n, 3, height, width): low / high of the stored counts, offset kept. For high-energy counts below the
        body's threshold, 1 / high is continued by its tangent there.

    Examples
    --------
    >>> scan = torch.full((1, 6, 1, 1), 800.0)
    >>> scan[:, 1::2] = 1000.0
    >>> r_image(scan).flatten().tolist()
    [1.25, 1.25, 1.25]
    """
    high, low = scans[:, 0::2], scans[:, 1::2]
    above = 1 / high.clamp(min=_FLOOR_COUNTS)
    tangent = (2 * _FLOOR_COUNTS - high) / _FLOOR_COUNTS**2
    return low * torch.where(high > _FLOOR_COUNTS, above, tangent)


def body_mask(scans: Tensor) -> Tensor:
    """Pixels that attenuate in the air phase of true scans: (n, 1, height, width), boolean."""
    return scans[:, :1] - OFFSET_COUNTS > MINIMUM_COUNTS
