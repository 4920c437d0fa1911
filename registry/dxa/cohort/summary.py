"""How a cohort's adults compare with published ones, and how much of its scans is linear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars

from registry.dxa.cohort.specification import PARTS, SPLITS
from registry.dxa.cohort.store import Split, open_split

ADULT_YEARS = 18.0
# Ranges of published means of adults on Hologic scanners, by sex. All are recalled, none was checked.
PUBLISHED_MEANS = {
    "female": {"total_bmc_kg": "1.9-2.2", "total_bmd_g_cm2": "1.07", "fat_percent": "25-50"},
    "male": {"total_bmc_kg": "2.4-2.8", "total_bmd_g_cm2": "1.15", "fat_percent": "15-38"},
}
SUMMARISED = (
    "stature_cm",
    "bmi_kg_m2",
    "total_mass_kg",
    "fat_percent",
    "total_bmc_kg",
    "total_bmd_g_cm2",
    "circumference_waist_cm",
    "circumference_hip_cm",
)


def adult_summary(folder: Path) -> polars.DataFrame:
    """Mean and standard deviation of a cohort's adults by sex, beside published means.

    Returns
    -------
    polars.DataFrame
        Columns sex, measure, scans, mean, sd, published; the published ones are unverified.
    """
    frames = [open_split(folder, part, split).subjects for part in PARTS for split in SPLITS]
    subjects = polars.concat(frames).filter(polars.col("age_years") >= ADULT_YEARS)
    subjects = subjects.with_columns(
        (100.0 * polars.col("total_fat_kg") / polars.col("total_mass_kg")).alias("fat_percent")
    )
    rows = []
    for sex, published in PUBLISHED_MEANS.items():
        of_sex = subjects.filter(polars.col("sex") == sex)
        for measure in SUMMARISED:
            values = of_sex[measure].to_numpy()
            rows.append(
                {
                    "sex": sex,
                    "measure": measure,
                    "scans": len(values),
                    "mean": float(values.mean()) if len(values) else None,
                    "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
                    "published": published.get(measure),
                }
            )
    return polars.DataFrame(rows)


def principal_spectrum(split: Split, components: int = 64) -> npt.NDArray[np.float64]:
    """Share of the scans' variance that the first principal components hold, cumulated.

    Scans are averaged over 2 x 2 pixels first. A cohort whose share rises fast is nearly linear, and then an
    order of strategies on it proves little.
    """
    scans = np.asarray(split.scans[:, :, :-1], dtype=np.float32)
    count, rows, columns, channels = scans.shape
    coarse = (
        scans.reshape(count, rows // 2, 2, columns // 2, 2, channels).mean(axis=(2, 4)).reshape(count, -1)
    )
    coarse -= coarse.mean(axis=0)
    variance = np.linalg.eigvalsh(coarse.astype(np.float64) @ coarse.T.astype(np.float64))[::-1]
    return np.asarray(np.cumsum(np.maximum(variance, 0.0))[:components] / variance.sum())
