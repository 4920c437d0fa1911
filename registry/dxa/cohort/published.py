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
    "Li 2009": (
        "Li C et al., Am J Clin Nutr 2009;90:1457, NHANES 1999-2004, 6507 women and 6559 men: abstract read. "
        "Fat-free mass holds the bone; mass is its sum with fat"
    ),
    "Looker 2009": (
        "Looker AC et al., Osteoporos Int 2009;20:1141, NHANES 1999-2004, Hologic QDR 4500A: only the "
        "abstract was read; the figures are recalled, unverified"
    ),
    "recalled": "recalled from reference tables; not opened, unverified",
}


def _quantity(column: str, label: str, women: str, men: str, source: str = "recalled") -> Quantity:
    return Quantity(column, label, Published(women, source), Published(men, source))


QUANTITIES = (
    _quantity("stature_cm", "Stature, cm", "162", "176"),
    _quantity("bmi_kg_m2", "Body mass index, kg/m2", "28", "28"),
    _quantity("total_mass_kg", "Mass, kg", "74.8", "87.7", "Li 2009"),
    _quantity("fat_percent", "Fat, %", "40.0", "28.1", "Li 2009"),
    _quantity("total_fat_kg", "Fat mass, kg", "30.8", "25.4", "Li 2009"),
    _quantity("fat_free_kg", "Fat-free mass, kg", "44.0", "62.3", "Li 2009"),
    _quantity("total_bmc_kg", "Bone mineral content, kg", "1.9-2.2", "2.4-2.8"),
    _quantity("total_bmd_g_cm2", "Bone mineral density, g/cm2", "1.07", "1.15", "Looker 2009"),
    _quantity("arm_lean_share", "Share of lean mass in the arms, %", "10", "13"),
    _quantity("leg_lean_share", "Share of lean mass in the legs, %", "34", "34"),
    _quantity("arm_fat_share", "Share of fat in the arms, %", "12", "11"),
    _quantity("leg_fat_share", "Share of fat in the legs, %", "38", "32"),
    _quantity("circumference_waist_cm", "Waist, cm", "94", "100"),
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
        for limb in ("arm", "leg"):
            if {f"{limb}_{tissue}_kg", f"total_{tissue}_kg"} <= set(adults.columns):
                share = 100.0 * polars.col(f"{limb}_{tissue}_kg") / polars.col(f"total_{tissue}_kg")
                made.append(share.alias(f"{limb}_{tissue}_share"))
    return adults.with_columns(made)


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _source(published: Published) -> str:
    return f"{published.text} ({published.source})"
