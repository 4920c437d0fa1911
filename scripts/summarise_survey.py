"""Print means and standard deviations of American adults, the published side of the cohort's table.

Run from the repository's root, in an environment with the extra ``survey``, on the public records of NHANES
1999-2004 as the R package NHANES of R. Pruim and D. Kaplan holds them (``data/NHANES.rda``, compiled by
N. Krakauer from the files of the Centers for Disease Control and Prevention)::

    python scripts/summarise_survey.py NHANES.rda

Adults of 20 years and more who are not pregnant, weighted by the survey's weights. Columns ``fbmi``, ``lbmi``
and ``bbmi`` are fat, lean tissue and bone mineral in 0.1 g over squared stature in metres. Means of fat and
fat-free mass are those that Li et al. (2009) print for the same people. With ``--even-ages`` people are
weighted so that every five years of age from 20 to 85 count alike, as in a simulated cohort: the figures of
``registry.dxa.cohort.published``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ADULT_YEARS = 20.0
OLDEST_YEARS = 85.0
BAND_YEARS = 5.0


def weighted_mean_and_sd(values: Array, weights: Array) -> tuple[float, float]:
    """Mean and standard deviation of a population from a weighted sample; what is NaN is left out."""
    known = np.isfinite(values)
    mean = np.average(values[known], weights=weights[known])
    return float(mean), float(np.sqrt(np.average((values[known] - mean) ** 2, weights=weights[known])))


def even_ages(ages: Array, weights: Array) -> Array:
    """Weights under which every band of ages counts alike; people beyond the last band do not count."""
    band = np.floor((ages - ADULT_YEARS) / BAND_YEARS).astype(np.int64)
    total = np.bincount(band, weights)
    return np.where(ages < OLDEST_YEARS, weights / total[band], 0.0)


def quantities(record: dict[str, Array]) -> dict[str, Array]:
    """The rows of the table, by the columns of a cohort."""
    # Missing values are NaN of R's own making, which numpy would warn about.
    with np.errstate(invalid="ignore"):
        return _quantities(record)


def _quantities(record: dict[str, Array]) -> dict[str, Array]:
    fat, lean, mineral = (record[name] / 1e4 * record["height"] ** 2 for name in ("fbmi", "lbmi", "bbmi"))
    return {
        "stature_cm": 100 * record["height"],
        "bmi_kg_m2": record["bmi"],
        "total_mass_kg": fat + lean + mineral,
        "fat_percent": record["pfat"],
        "total_fat_kg": fat,
        "fat_free_kg": lean + mineral,
        "total_bmc_kg": mineral,
        "total_bmd_g_cm2": record["bmd"],
        "limb_lean_share": 100 * record["llean"] / lean,
        "limb_fat_share": 100 * record["lfat"] / fat,
        "circumference_waist_cm": 100 * record["waist"],
    }


def main() -> None:
    """Print one line per quantity: women, then men, each with the number of people."""
    import rdata  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", type=Path)
    parser.add_argument("--even-ages", action="store_true")
    options = parser.parse_args()
    people = rdata.read_rda(options.records)["NHANES"]
    people = people[(people.age >= ADULT_YEARS) & (people.pregnant.astype(str) != "yes")]
    for sex in ("female", "male"):
        own = people[people.sex == sex]
        numbers = own.select_dtypes("number")
        record = {str(name): numbers[name].to_numpy(np.float64) for name in numbers.columns}
        weights = record["pop_weight"]
        if options.even_ages:
            weights = even_ages(record["age"], weights)
        for name, values in quantities(record).items():
            mean, sd = weighted_mean_and_sd(values, weights)
            print(f"{sex} {name}: {mean:.4g} ({sd:.3g}), {np.isfinite(values).sum()} people")


if __name__ == "__main__":
    main()
