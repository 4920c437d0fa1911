"""What blur alone does to the primary endpoint of tasks that generate scans; prints a table of docs/tasks.md.

Run from the repository's root, with a cohort that a run of the suite ``quick`` or ``study`` has made::

    python scripts/measure_blur.py ~/.cache/pretraining-harness/cohorts/<fingerprint>

Test scans are reduced as for training, blurred with a Gaussian, and analysed against themselves without blur.
Nothing is learned and nothing generated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.metrics import r2_score

from registry.dxa.cohort.store import open_split
from registry.dxa.settings import DxaSettings
from registry.dxa.tasks.composition import MEASURES, chosen_scans, measure_scans
from registry.dxa.training.scans import load_scans

SCANS = 16
SIGMAS_PIXELS = (0.3, 0.5, 0.75, 1.0, 1.5)
COLUMNS = {
    "total_mass_kg": "total mass",
    "total_fat_kg": "total fat",
    "total_lean_kg": "total lean",
    "total_bmc_kg": "total BMC",
    "total_bmd_g_cm2": "total BMD",
    "leg_bmd_g_cm2": "leg BMD",
    "arm_bmd_g_cm2": "arm BMD",
}


def main() -> None:
    """Print the table for the cohort named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path)
    split, settings = open_split(parser.parse_args().cohort, "paired", "test"), DxaSettings()
    scans = load_scans(split, settings.scan_reduction)
    scans = scans[chosen_scans(len(scans), SCANS)]
    sharp = measure_scans(scans, settings, split)
    print(f"| blur (SD, pixels) | mean of {len(MEASURES)} | {' | '.join(COLUMNS.values())} |")
    print("|---|---:|" + "---:|" * len(COLUMNS))
    for sigma in SIGMAS_PIXELS:
        blurred = np.stack([gaussian_filter(scan, (0, sigma, sigma)) for scan in scans])
        each = r2_score(sharp, measure_scans(blurred, settings, split), multioutput="raw_values")
        shown = [float(np.mean(each)), *(each[MEASURES.index(name)] for name in COLUMNS)]
        print(f"| {sigma:g} | " + " | ".join(f"{value:.2f}" for value in shown) + " |")


if __name__ == "__main__":
    main()
