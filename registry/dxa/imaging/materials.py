"""What bodies, phantoms and filters are made of, and how strongly it attenuates."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

Interaction = Literal["total", "photo", "incoh", "coh"]

# Moles of each element per mole of the compound.
FORMULAS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "water": {"H": 2, "O": 1},
        "triolein": {"C": 57, "H": 104, "O": 6},
        "protein": {"C": 100, "H": 159, "N": 26, "O": 32, "S": 0.7},
        "glycogen": {"C": 6, "H": 10, "O": 5},
        "hydroxyapatite": {"Ca": 10, "P": 6, "O": 26, "H": 2},
        "pmma": {"C": 5, "H": 8, "O": 2},
        "aluminium": {"Al": 1},
        "copper": {"Cu": 1},
        "titanium": {"Ti": 1},
    }
)
# Mass fractions of ICRU Report 44 (1989).
MASS_FRACTIONS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "muscle": {
            "H": 0.102, "C": 0.143, "N": 0.034, "O": 0.710, "Na": 0.001,
            "P": 0.002, "S": 0.003, "Cl": 0.001, "K": 0.004,
        },
        "adipose": {"H": 0.114, "C": 0.598, "N": 0.007, "O": 0.278, "Na": 0.001, "S": 0.001, "Cl": 0.001},
        "cortical_bone": {
            "H": 0.034, "C": 0.155, "N": 0.042, "O": 0.435, "Na": 0.001,
            "Mg": 0.002, "P": 0.103, "S": 0.003, "Ca": 0.225,
        },
    }
)  # fmt: skip

# The three components of the body, in the order of every (..., 3) array of areal densities.
COMPONENTS = ("fat", "lean", "bone_mineral")
COMPONENT_MATERIALS = ("triolein", "muscle", "hydroxyapatite")
# Implants are of this; they are no component of the body.
IMPLANT_MATERIAL = "titanium"


def mass_fractions(material: str) -> Mapping[str, float]:
    """Mass fraction of each element of a material.

    Raises
    ------
    KeyError
        If the material is neither in ``FORMULAS`` nor in ``MASS_FRACTIONS``.
    """
    if material in MASS_FRACTIONS:
        return MASS_FRACTIONS[material]
    from xraydb import atomic_mass  # noqa: PLC0415 - opens a database, which takes a second

    masses = {element: moles * atomic_mass(element) for element, moles in FORMULAS[material].items()}
    total = sum(masses.values())
    return {element: mass / total for element, mass in masses.items()}


def mass_attenuation(
    material: str, energy_kev: npt.ArrayLike, kind: Interaction = "total"
) -> npt.NDArray[np.float64]:
    """Mass attenuation coefficient in cm2/g, from the tables of Elam, Ravel and Sieber (2002).

    ``total`` includes coherent scatter, as a narrow beam sees it; that is what the scanner uses.

    Examples
    --------
    >>> low, high = mass_attenuation("water", [40.0, 70.0])
    >>> print(f"{low / high:.3f}")
    1.391
    """
    import xraydb  # noqa: PLC0415 - opens a database, which takes a second

    energies_ev = np.atleast_1d(np.asarray(energy_kev, dtype=np.float64)) * 1000.0
    coefficients = np.sum(
        [
            fraction * np.asarray(xraydb.mu_elam(element, energies_ev, kind=kind), dtype=np.float64)
            for element, fraction in mass_fractions(material).items()
        ],
        axis=0,
    )
    return np.asarray(coefficients, dtype=np.float64)
