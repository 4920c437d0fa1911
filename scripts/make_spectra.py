"""Make the committed spectra and attenuation coefficients of the simulated scanner.

Run from the repository's root, in an environment with the extra ``spectra``::

    python scripts/make_spectra.py registry/dxa/imaging/data/spectra.json

Tube spectra come from SpekPy (Poludniowski et al. 2021), mass attenuation coefficients from xraydb. Each
spectrum is weighted by photon energy, as an energy-integrating detector does, and reduced to 14 bins.

The filtration is chosen, not measured: 2.5 mm of aluminium is the least that regulations allow, and 2.25 mm
of copper at the high energy brings the absolute R-value (1.243) and the differential R-value of the tissue
segment (1.146) of a sample calibration in the Hologic QDR technical manual within 0.03, when the spine
phantom is taken as 17.4 cm of PMMA.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import spekpy

from registry.dxa.imaging.materials import COMPONENT_MATERIALS, IMPLANT_MATERIAL, mass_attenuation

BINS = 14
ANODE_ANGLE_DEG = 12.0
SOURCES = {
    "high": {"kilovolts": 140.0, "filters_mm": {"Al": 2.5, "Cu": 2.25}},
    "low": {"kilovolts": 100.0, "filters_mm": {"Al": 2.5}},
}
TABULATED = (*COMPONENT_MATERIALS, IMPLANT_MATERIAL, "water", "pmma", "aluminium")


def binned_spectrum(kilovolts: float, filters_mm: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean energy (keV) and share of the detector's signal of each bin."""
    tube = spekpy.Spek(kvp=kilovolts, th=ANODE_ANGLE_DEG, dk=0.5)
    for element, thickness_mm in filters_mm.items():
        tube.filter(element, thickness_mm)
    energies, fluence = tube.get_spectrum(edges=False)
    signal = fluence * energies
    kept = signal > 1e-4 * signal.max()
    energies, signal = energies[kept], signal[kept]
    edges = np.linspace(energies[0], energies[-1] + 1e-6, BINS + 1)
    bin_of = np.digitize(energies, edges) - 1
    total = np.bincount(bin_of, signal, minlength=BINS)
    return np.bincount(bin_of, signal * energies, minlength=BINS) / total, total / total.sum()


def main() -> None:
    """Write the file named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    output: Path = parser.parse_args().output
    record: dict[str, object] = {
        "sources": {
            "spectra": f"SpekPy {spekpy.__version__}, anode angle {ANODE_ANGLE_DEG:g} degrees",
            "mass_attenuation_cm2_g": "xraydb, Elam total cross-sections",
        }
    }
    for name, source in SOURCES.items():
        energies, shares = binned_spectrum(source["kilovolts"], source["filters_mm"])
        record[name] = {
            **source,
            "energy_kev": np.round(energies, 4).tolist(),
            "signal_share": np.round(shares, 8).tolist(),
            "mass_attenuation_cm2_g": {
                material: np.round(mass_attenuation(material, np.round(energies, 4)), 8).tolist()
                for material in TABULATED
            },
        }
        print(f"{name}: mean {np.sum(energies * shares):.1f} keV, {energies[0]:.1f}-{energies[-1]:.1f} keV")
    output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
