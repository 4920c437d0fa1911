"""Attenuation tables: what the scanner multiplies areal densities with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from registry.dxa.imaging.channels import PHASES
from registry.dxa.imaging.materials import COMPONENT_MATERIALS, IMPLANT_MATERIAL, mass_attenuation

BeamMode = Literal["polychromatic", "monochromatic"]
ENERGIES = ("hi", "lo")
MONOCHROMATIC_KEV = {"hi": 70.0, "lo": 40.0}

# Areal densities (g/cm2) of the drum's segments. The tissue segment attenuates the high energy as much as in
# the sample calibration of the QDR manual; the bone segment's composition is assumed.
FILTER_LAYERS: dict[str, tuple[tuple[str, float], ...]] = {
    "air": (),
    "bone": (("pmma", 0.36), ("hydroxyapatite", 1.0)),
    "tissue": (("pmma", 1.33),),
}


@dataclass(frozen=True)
class AttenuationTable:
    """Bins of one beam energy.

    Parameters
    ----------
    energy_kev
        Mean energy of each bin, shape (bins,).
    mass_attenuation_cm2_g
        Coefficients of fat, lean and bone mineral, shape (3, bins).
    implant_attenuation_cm2_g
        Coefficients of the implants' metal, shape (bins,).
    phase_weights
        Signal share of each bin behind each phase's filter, for an open beam that sums to one, shape (3,
        bins).
    """

    energy_kev: npt.NDArray[np.float64]
    mass_attenuation_cm2_g: npt.NDArray[np.float64]
    implant_attenuation_cm2_g: npt.NDArray[np.float64]
    phase_weights: npt.NDArray[np.float64]

    def attenuation(
        self, areal_density_g_cm2: npt.ArrayLike, implants_g_cm2: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float64]:
        """Attenuation in nepers behind each phase's filter, relative to the open beam.

        ``A = -ln sum_E w(E) exp(-f_phase(E) - sum_m mu_m(E) s_m)``

        Parameters
        ----------
        areal_density_g_cm2
            Fat, lean and bone mineral, shape (..., 3).
        implants_g_cm2
            Metal, shape (...,).

        Returns
        -------
        array
            Shape (..., 3), phases in the order of ``PHASES``.
        """
        depth = np.asarray(areal_density_g_cm2, dtype=np.float64) @ self.mass_attenuation_cm2_g
        if implants_g_cm2 is not None:
            metal = np.asarray(implants_g_cm2, dtype=np.float64)
            depth = depth + metal[..., None] * self.implant_attenuation_cm2_g
        transmitted = np.exp(-depth)
        return np.asarray(-np.log(transmitted @ self.phase_weights.T))


@cache
def attenuation_tables(mode: BeamMode = "polychromatic") -> dict[str, AttenuationTable]:
    """Tables of both energies, keyed ``hi`` and ``lo``; read once per process.

    ``monochromatic`` (40 and 70 keV) is for teaching and for tests against closed forms: no beam hardening.
    """
    if mode == "monochromatic":
        return {name: _monochromatic_table(MONOCHROMATIC_KEV[name]) for name in ENERGIES}
    record = read_spectra()
    return {"hi": _polychromatic_table(record["high"]), "lo": _polychromatic_table(record["low"])}


@cache
def read_spectra() -> dict[str, Any]:
    """Read the committed spectra (``data/spectra.json``, made by ``scripts/make_spectra.py``)."""
    text = resources.files("registry.dxa.imaging").joinpath("data/spectra.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def _monochromatic_table(energy_kev: float) -> AttenuationTable:
    energies = np.array([energy_kev])

    def coefficients(material: str) -> npt.NDArray[np.float64]:
        return mass_attenuation(material, energies)

    return AttenuationTable(
        energies,
        np.stack([coefficients(material) for material in COMPONENT_MATERIALS]),
        coefficients(IMPLANT_MATERIAL),
        _phase_weights(np.ones(1), {name: coefficients(name) for name in ("pmma", "hydroxyapatite")}),
    )


def _polychromatic_table(source: dict[str, Any]) -> AttenuationTable:
    coefficients = {
        material: np.array(values) for material, values in source["mass_attenuation_cm2_g"].items()
    }
    return AttenuationTable(
        np.array(source["energy_kev"]),
        np.stack([coefficients[material] for material in COMPONENT_MATERIALS]),
        coefficients[IMPLANT_MATERIAL],
        _phase_weights(np.array(source["signal_share"]), coefficients),
    )


def _phase_weights(
    shares: npt.NDArray[np.float64], coefficients: dict[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    shares = shares / shares.sum()
    weights = []
    for phase in PHASES:
        layers = FILTER_LAYERS[phase]
        optical_depth = sum((coefficients[name] * density for name, density in layers), np.zeros_like(shares))
        weights.append(shares * np.exp(-optical_depth))
    return np.stack(weights)
