"""Polychromatic inversion: areal densities from the six channels of a pixel.

The six channels hold two unknowns per pixel and no more: two energies tell two materials apart, and the
filters behind which they are measured again reduce the noise. Where there is no bone, these are fat and
lean tissue; under bone, fat has to be known and lean tissue and bone mineral are solved for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from registry.dxa.imaging.attenuation import BeamMode, attenuation_tables
from registry.dxa.imaging.channels import MAXIMUM_CODE, decode
from registry.dxa.imaging.materials import COMPONENTS

Array = npt.NDArray[np.float64]

FAT, LEAN, MINERAL = range(len(COMPONENTS))
MAXIMUM_ITERATIONS = 12
# Half of a step that no longer changes a gram of a whole body.
TOLERANCE_G_CM2 = 1e-7
# No step may be longer: the exponentials stay finite wherever a wild channel sends the search.
LONGEST_STEP_G_CM2 = 20.0
# A channel at the end of the scale tells nothing but that the beam was weak; the other channels decide.
SATURATION_NEPERS = float(decode(MAXIMUM_CODE)) - 1e-9
RANGE_G_CM2 = (-300.0, 400.0)


@dataclass(frozen=True)
class Solution:
    """Areal densities of many pixels.

    Parameters
    ----------
    densities_g_cm2
        Fat, lean tissue and bone mineral, shape (pixels, 3).
    misfit
        Squared differences of observed and modelled attenuation, weighted by each channel's share of the open
        beam's photons and summed, shape (pixels,). With N photons per channel in the open beam its mean is
        4/N: six channels less two unknowns.
    error_factor_g_cm2
        Standard deviation of the first of the two unknowns for one such photon; divide by the root of N,
        shape (pixels,).
    converged
        Whether the search came to rest inside the range it is allowed, shape (pixels,).
    """

    densities_g_cm2: Array
    misfit: Array
    error_factor_g_cm2: Array
    converged: npt.NDArray[np.bool_]


def solve_soft_tissue(attenuation: npt.ArrayLike, mode: BeamMode = "polychromatic") -> Solution:
    """Fat and lean tissue, taking every pixel to be free of bone.

    Bone that is there nevertheless shows as missing fat: one gram of mineral as about -17 g of fat and +18
    g of lean tissue.

    Parameters
    ----------
    attenuation
        In nepers, channels in the order of ``CHANNELS``, shape (pixels, 6).
    mode
        Beam of the scanner.

    Examples
    --------
    >>> import numpy as np
    >>> from registry.dxa.imaging.scanner import Scanner
    >>> found = solve_soft_tissue(Scanner().attenuation([[3.0, 15.0, 0.0]]))
    >>> np.round(found.densities_g_cm2, 6).tolist()
    [[3.0, 15.0, 0.0]]
    """
    observed = np.ascontiguousarray(attenuation, dtype=np.float64)
    start = np.zeros((len(observed), len(COMPONENTS)))
    # Soft tissue attenuates the open high-energy beam by about 0.2 cm2/g.
    start[:, LEAN] = np.clip(observed[:, 0] / 0.2, 0.0, 60.0)
    return _solve(observed, start, FAT, LEAN, mode)


def solve_under_bone(
    attenuation: npt.ArrayLike,
    fat_g_cm2: npt.ArrayLike,
    start: npt.ArrayLike,
    mode: BeamMode = "polychromatic",
) -> Solution:
    """Lean tissue and bone mineral where the fat is known.

    Parameters
    ----------
    attenuation
        In nepers, shape (pixels, 6).
    fat_g_cm2
        Shape (pixels,).
    start
        Total areal density of soft tissue to begin from, shape (pixels,).
    mode
        Beam of the scanner.
    """
    observed = np.ascontiguousarray(attenuation, dtype=np.float64)
    densities = np.zeros((len(observed), len(COMPONENTS)))
    densities[:, FAT] = fat_g_cm2
    densities[:, LEAN] = np.maximum(np.asarray(start, dtype=np.float64) - densities[:, FAT], 0.5)
    return _solve(observed, densities, LEAN, MINERAL, mode)


def solve_lean_alone(
    attenuation: npt.ArrayLike,
    fat_g_cm2: npt.ArrayLike,
    start: npt.ArrayLike,
    mode: BeamMode = "polychromatic",
    *,
    mineral_g_cm2: npt.ArrayLike = 0.0,
) -> Solution:
    """Lean tissue where fat and bone mineral are known: one unknown, for pixels that hold no more.

    Parameters are those of :func:`solve_under_bone`; there is no bone unless its mineral is given.
    """
    observed = np.ascontiguousarray(attenuation, dtype=np.float64)
    densities = np.zeros((len(observed), len(COMPONENTS)))
    densities[:, FAT] = fat_g_cm2
    densities[:, MINERAL] = mineral_g_cm2
    densities[:, LEAN] = np.maximum(np.asarray(start, dtype=np.float64) - densities[:, FAT], 0.5)
    return _solve(observed, densities, LEAN, LEAN, mode)


def _solve(observed: Array, start: Array, first: int, second: int, mode: BeamMode) -> Solution:
    tables = attenuation_tables(mode)
    densities, misfit, error_factor, converged = _gauss_newton(
        observed,
        start,
        first,
        second,
        tables["hi"].mass_attenuation_cm2_g,
        tables["lo"].mass_attenuation_cm2_g,
        tables["hi"].phase_weights,
        tables["lo"].phase_weights,
        SATURATION_NEPERS,
    )
    return Solution(densities, misfit, error_factor, converged)


@njit(cache=True, error_model="numpy")
def _spectral_sums(densities, coefficients, weights, first, second, signal, slopes):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Signal behind each filter, and its derivatives by two components, of one energy; fills the last two."""
    phases, bins = weights.shape
    signal[:] = 0.0
    slopes[:] = 0.0
    for k in range(bins):
        depth = (
            densities[0] * coefficients[0, k]
            + densities[1] * coefficients[1, k]
            + densities[2] * coefficients[2, k]
        )
        passed = np.exp(-depth)
        for phase in range(phases):
            part = weights[phase, k] * passed
            signal[phase] += part
            slopes[phase, 0] += part * coefficients[first, k]
            slopes[phase, 1] += part * coefficients[second, k]


@njit(cache=True, error_model="numpy")
def _gauss_newton(observed, start, first, second, mu_high, mu_low, weights_high, weights_low, saturation):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Weighted least squares over the channels of each pixel; weights are proportional to photon counts."""
    pixels = len(observed)
    phases = weights_high.shape[0]
    densities = start.copy()
    misfit, error_factor = np.zeros(pixels), np.zeros(pixels)
    converged = np.zeros(pixels, dtype=np.bool_)
    signal, slopes = np.empty((2, phases)), np.empty((2, phases, 2))
    for pixel in range(pixels):
        s = densities[pixel]
        for _ in range(MAXIMUM_ITERATIONS):
            _spectral_sums(s, mu_high, weights_high, first, second, signal[0], slopes[0])
            _spectral_sums(s, mu_low, weights_low, first, second, signal[1], slopes[1])
            a11, a12, a22, b1, b2, square = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for energy in range(2):
                for phase in range(phases):
                    count = signal[energy, phase]
                    attenuation = observed[pixel, 2 * phase + energy]
                    if attenuation >= saturation:
                        continue
                    residual = attenuation + np.log(count)
                    square += count * residual * residual
                    if residual > -1.0 and residual < 1.0:
                        # The score of Poisson counts; the logarithm of a few photons is biased.
                        residual = -np.expm1(-residual)
                    j1, j2 = slopes[energy, phase, 0] / count, slopes[energy, phase, 1] / count
                    a11 += count * j1 * j1
                    a12 += count * j1 * j2
                    a22 += count * j2 * j2
                    b1 += count * j1 * residual
                    b2 += count * j2 * residual
            determinant = a11 * a22 - a12 * a12
            misfit[pixel] = square
            error_factor[pixel] = np.sqrt(a22 / determinant)
            step1 = (a22 * b1 - a12 * b2) / determinant
            step2 = (a11 * b2 - a12 * b1) / determinant
            if first == second:
                step1, step2 = b1 / a11, 0.0
            if not (np.isfinite(step1) and np.isfinite(step2)):
                break
            step1 = min(max(step1, -LONGEST_STEP_G_CM2), LONGEST_STEP_G_CM2)
            step2 = min(max(step2, -LONGEST_STEP_G_CM2), LONGEST_STEP_G_CM2)
            s[first] = min(max(s[first] + step1, RANGE_G_CM2[0]), RANGE_G_CM2[1])
            s[second] = min(max(s[second] + step2, RANGE_G_CM2[0]), RANGE_G_CM2[1])
            if abs(step1) + abs(step2) < TOLERANCE_G_CM2:
                converged[pixel] = True
                break
    return densities, misfit, error_factor, converged
