"""The scanner: areal densities of fat, lean and bone mineral in, six 14-bit channels out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from registry.dxa.imaging.attenuation import AttenuationTable, BeamMode, attenuation_tables
from registry.dxa.imaging.channels import CHANNELS, PHASES, encode


@dataclass(frozen=True)
class Scan:
    """One scan.

    Parameters
    ----------
    codes
        Channels in the order of ``CHANNELS``, uint16, shape (rows, columns, 6).
    saturated
        Number of values that left the 14 bits and were limited.
    """

    codes: npt.NDArray[np.uint16]
    saturated: int


@dataclass(frozen=True)
class Scanner:
    """A dual-energy scanner with an energy-integrating detector.

    Parameters
    ----------
    photons
        Mean number of detected photons per pixel, phase and energy in the open beam; None for no noise.
        3e6 is a realistic dose, 3e5 a low one.
    mode
        ``polychromatic`` hardens the beam; ``monochromatic`` is 40 and 70 keV.

    Notes
    -----
    Maps of one areal density per pixel give the signal of that mean density. A real detector averages
    intensity over its area instead: :meth:`averaged_attenuation`, from several samples per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> scan = Scanner(photons=None).scan(np.zeros((2, 3, 3)), np.random.default_rng(0))
    >>> scan.codes.shape, scan.codes[0, 0, :2].tolist()
    ((2, 3, 6), [200, 200])
    """

    photons: float | None = 3e6
    mode: BeamMode = "polychromatic"

    def attenuation(
        self, areal_density_g_cm2: npt.ArrayLike, implants_g_cm2: npt.NDArray[np.float64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Noise-free attenuation in nepers of every channel, shape (..., 6).

        Parameters
        ----------
        areal_density_g_cm2
            Fat, lean and bone mineral, shape (..., 3).
        implants_g_cm2
            Metal of implants, shape (...,).
        """
        density = np.asarray(areal_density_g_cm2, dtype=np.float64)
        tables = attenuation_tables(self.mode)
        flat = density.reshape(-1, density.shape[-1])
        metal = None if implants_g_cm2 is None else implants_g_cm2.reshape(-1)
        occupied = flat.any(axis=1) if metal is None else flat.any(axis=1) | (metal > 0)
        result = np.empty((len(flat), len(CHANNELS)))
        for start, name in enumerate(("hi", "lo")):
            result[:, start::2] = _open_beam(tables[name])
            result[occupied, start::2] = tables[name].attenuation(
                flat[occupied], None if metal is None else metal[occupied]
            )
        return result.reshape(*density.shape[:-1], len(CHANNELS))

    def averaged_attenuation(
        self, areal_density_g_cm2: npt.ArrayLike, implants_g_cm2: npt.NDArray[np.float64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Noise-free attenuation of pixels whose detector averages intensity, shape (..., 6).

        ``-ln`` of the mean transmission of a pixel's samples. The exponential is convex, so that it is never
        above :meth:`attenuation` of the mean density, and equals it where the samples are alike.

        Parameters
        ----------
        areal_density_g_cm2
            Fat, lean and bone mineral behind each sample, shape (..., samples, 3).
        implants_g_cm2
            Metal of implants, shape (..., samples).

        Examples
        --------
        Half a pixel behind lead: it passes half the beam, ln 2, however thick the lead.

        >>> pixel = Scanner().averaged_attenuation(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 500.0]]))
        >>> print(f"{pixel[0]:.4f}")
        0.6931
        """
        samples = self.attenuation(areal_density_g_cm2, implants_g_cm2)
        return np.asarray(-np.log(np.exp(-samples).mean(axis=-2)))

    def scan(
        self,
        areal_density_g_cm2: npt.ArrayLike,
        generator: np.random.Generator,
        *,
        implants_g_cm2: npt.NDArray[np.float64] | None = None,
    ) -> Scan:
        """Record a scan of maps of shape (rows, columns, 3), and of the metal in them.

        With an axis of samples, (rows, columns, samples, 3), a pixel's signal is the mean intensity of its
        samples. A pixel that no photon reaches is recorded as if one had.
        """
        sampled = np.ndim(areal_density_g_cm2) == 4
        attenuate = self.averaged_attenuation if sampled else self.attenuation
        attenuation = attenuate(areal_density_g_cm2, implants_g_cm2)
        if self.photons is not None:
            counts = generator.poisson(self.photons * np.exp(-attenuation))
            attenuation = -np.log(np.maximum(counts, 1) / self.photons)
        codes, saturated = encode(attenuation)
        return Scan(codes, saturated)


def _open_beam(table: AttenuationTable) -> npt.NDArray[np.float64]:
    return table.attenuation(np.zeros((1, 3))).reshape(len(PHASES))
