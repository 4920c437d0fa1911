"""The scanner: channels and grid, attenuation, the polychromatic forward model, R images.

``channels``     order, gain, offset and depth of the six channels
``geometry``     the pixel grid of a whole-body scan
``materials``    elemental compositions and their mass attenuation (xraydb)
``attenuation``  committed spectra and coefficients, as tables the scanner multiplies with
``scanner``      areal densities in, 14-bit channels out
``r_image``      the ratio of low- to high-energy attenuation
"""

from registry.dxa.imaging.channels import CHANNELS, MAXIMUM_CODE, PHASES, decode, encode
from registry.dxa.imaging.geometry import GRID, Grid

__all__ = ["CHANNELS", "GRID", "MAXIMUM_CODE", "PHASES", "Grid", "decode", "encode"]
