"""Simulated adults beside published ones: a table with the source of every published figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars

from registry.dxa.cohort.overview import with_fat_percent
from registry.dxa.cohort.specification import SPLITS
from registry.dxa.cohort.store import open_split, read_manifest

ADULT_YEARS = 18.0


@dataclass(frozen=True)
class Published:
    """A published figure.

    Parameters
    ----------
    text
        As it is shown: a mean, a mean and SD, or a range.
    source
        Key of ``REFERENCES``.
    """

    text: str
    source: str


@dataclass(frozen=True)
class Quantity:
    """A row of the table."""

    column: str
    label: str
    women: Published | None
    men: Published | None


REFERENCES = {
    "NHANES": (
        "NHANES 1999-2004, Hologic QDR 4500A, from its public records (`scripts/summarise_survey.py "
        "--even-ages`): about 6,500 women, not pregnant, and 6,500 men of 20 to 84 years, weighted so that "
        "all ages count alike, as they do in the cohort. Without that, means of fat and fat-free mass are "
        "those of Li C et al., Am J Clin Nutr 2009;90:1457 (abstract read): 30.8 and 44.0 kg, 25.4 and "
        "62.3 kg. Fat-free mass holds the bone; mass is its sum with fat"
    ),
    "NHANES, above the iliac crest": (
        "as above; the survey's tape lies just above the iliac crest, the cohort's where the trunk is "
        "narrowest"
    ),
    "recalled": "recalled from reference tables without SDs; not opened, unverified",
}


def _quantity(column: str, label: str, women: str, men: str, source: str = "NHANES") -> Quantity:
    return Quantity(column, label, Published(women, source), Published(men, source))


QUANTITIES = (
    _quantity("stature_cm", "Stature, cm", "161.6 (6.8)", "175.5 (7.7)"),
    _quantity("bmi_kg_m2", "Body mass index, kg/m2", "28.2 (6.8)", "27.9 (5.3)"),
    _quantity("total_mass_kg", "Mass, kg", "74.3 (18.8)", "86.9 (18.7)"),
    _quantity("fat_percent", "Fat, %", "40.3 (6.6)", "28.8 (6.0)"),
    _quantity("total_fat_kg", "Fat mass, kg", "30.9 (12.1)", "25.7 (10.1)"),
    _quantity("fat_free_kg", "Fat-free mass, kg", "43.5 (7.7)", "61.2 (10.3)"),
    _quantity("total_bmc_kg", "Bone mineral content, kg", "2.04 (0.37)", "2.67 (0.45)"),
    _quantity("total_bmd_g_cm2", "Bone mineral density, g/cm2", "1.07 (0.12)", "1.17 (0.12)"),
    _quantity("limb_lean_share", "Share of lean mass in the limbs, %", "41.9 (2.4)", "44.2 (2.3)"),
    _quantity("arm_lean_share", "of it in the arms, %", "10", "13", "recalled"),
    _quantity("limb_fat_share", "Share of fat in the limbs, %", "49.6 (5.9)", "43.0 (5.0)"),
    _quantity("arm_fat_share", "of it in the arms, %", "12", "11", "recalled"),
    _quantity(
        "circumference_waist_cm", "Waist, cm", "93.8 (15.5)", "100.6 (14.4)", "NHANES, above the iliac crest"
    ),
    Quantity("circumference_hip_cm", "Hip, cm", None, None),
)


@dataclass(frozen=True)
class Compared:
    """One quantity of one sex: simulated beside published."""

    sex: str
    quantity: Quantity
    published: Published | None
    scans: int
    mean: float
    sd: float


def compare(folder: Path) -> list[Compared]:
    """Mean and standard deviation of a cohort's adults, beside published ones.

    Parts and splits are taken together; a column that the cohort lacks is left out.
    """
    manifest = read_manifest(folder)
    tables = [open_split(folder, part, split).subjects for part in manifest.parts for split in SPLITS]
    adults = polars.concat(tables, how="diagonal").filter(polars.col("age_years") >= ADULT_YEARS)
    adults = _derived(with_fat_percent(adults))
    result = []
    for sex in ("female", "male"):
        of_sex = adults.filter(polars.col("sex") == sex)
        for quantity in QUANTITIES:
            if quantity.column not in adults.columns or of_sex.height < 2:
                continue
            values = of_sex[quantity.column].drop_nulls().to_numpy().astype(np.float64)
            published = quantity.women if sex == "female" else quantity.men
            sd = float(values.std(ddof=1))
            result.append(Compared(sex, quantity, published, len(values), float(values.mean()), sd))
    return result


def compared_markdown(rows: Sequence[Compared]) -> str:
    """The table of the cohort's page, its sources below."""
    by = {(row.sex, row.quantity.column): row for row in rows}
    scans = {sex: next((row.scans for row in rows if row.sex == sex), 0) for sex in ("female", "male")}
    lines = [
        f"| adults, mean (SD) | {scans['female']} women | published | {scans['male']} men | published |",
        "|---|---|---|---|---|",
    ]
    for quantity in QUANTITIES:
        cells = [quantity.label]
        for sex in ("female", "male"):
            row = by.get((sex, quantity.column))
            cells.append("" if row is None else f"{_figure(row.mean)} ({_figure(row.sd)})")
            cells.append("" if row is None or row.published is None else _source(row.published))
        lines.append("| " + " | ".join(cells) + " |")
    used = {row.published.source for row in rows if row.published}
    lines += ["", *(f"- {name}: {text}." for name, text in REFERENCES.items() if name in used)]
    return "\n".join(lines)


def _derived(adults: polars.DataFrame) -> polars.DataFrame:
    """Shares of the limbs and fat-free mass, where the columns are there."""
    made = []
    if {"total_lean_kg", "total_bmc_kg"} <= set(adults.columns):
        made.append((polars.col("total_lean_kg") + polars.col("total_bmc_kg")).alias("fat_free_kg"))
    for tissue in ("lean", "fat"):
        if {f"arm_{tissue}_kg", f"leg_{tissue}_kg", f"total_{tissue}_kg"} <= set(adults.columns):
            total, arms = polars.col(f"total_{tissue}_kg"), polars.col(f"arm_{tissue}_kg")
            limbs = arms + polars.col(f"leg_{tissue}_kg")
            made += [
                (100.0 * arms / total).alias(f"arm_{tissue}_share"),
                (100.0 * limbs / total).alias(f"limb_{tissue}_share"),
            ]
    return adults.with_columns(made)


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _source(published: Published) -> str:
    return f"{published.text} ({published.source})"
