"""Numbers about a packed cohort: how its splits are balanced and how its subjects are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars

from registry.dxa.cohort.manifest import Manifest, read_manifest
from registry.dxa.cohort.specification import SPLITS
from registry.dxa.cohort.store import Split, open_split

#: What is shown of subjects: column, label.
QUANTITIES = (
    ("age_years", "Age, years"),
    ("bmi_kg_m2", "Body mass index, kg/m²"),
    ("fat_percent", "Body fat, %"),
)


@dataclass(frozen=True)
class SplitOverview:
    """One split.

    Parameters
    ----------
    part, split
        Its name.
    patients, scans
        Counts.
    female_share
        Of the scans of known sex; None where no sex is known.
    values
        Values of each of ``QUANTITIES`` that the cohort has.
    implants
        Scans of people with metal in the body; None where it is not known.
    """

    part: str
    split: str
    patients: int
    scans: int
    female_share: float | None
    values: dict[str, npt.NDArray[np.float64]]
    implants: int | None

    def mean_and_sd(self, quantity: str) -> tuple[float, float] | None:
        """Mean and standard deviation; None without values."""
        values = self.values.get(quantity)
        if values is None or len(values) < 2:
            return None
        return float(values.mean()), float(values.std(ddof=1))


@dataclass(frozen=True)
class CohortOverview:
    """A cohort's manifest and its splits."""

    manifest: Manifest
    splits: tuple[SplitOverview, ...]

    def of_part(self, part: str) -> list[SplitOverview]:
        """Splits of a part."""
        return [split for split in self.splits if split.part == part]

    def imbalance(self, part: str, quantity: str) -> float | None:
        """Largest difference of a split's mean from train's, in train's standard deviations."""
        train, *others = (split.mean_and_sd(quantity) for split in self.of_part(part))
        if train is None or not train[1]:
            return None
        differences = [abs(other[0] - train[0]) / train[1] for other in others if other]
        return max(differences) if differences else None


def cohort_overview(folder: Path) -> CohortOverview:
    """Read what subjects' tables say of every split."""
    manifest = read_manifest(folder)
    found = [_overview(open_split(folder, part, split)) for part in manifest.parts for split in SPLITS]
    return CohortOverview(manifest, tuple(found))


def with_fat_percent(subjects: polars.DataFrame) -> polars.DataFrame:
    """The table with a column ``fat_percent`` where fat and mass are known."""
    mass = next((name for name in ("total_mass_kg", "mass_kg") if name in subjects.columns), None)
    if mass is None or "total_fat_kg" not in subjects.columns:
        return subjects
    return subjects.with_columns((100.0 * polars.col("total_fat_kg") / polars.col(mass)).alias("fat_percent"))


def spread_examples(subjects: polars.DataFrame, count: int) -> list[int]:
    """Rows of scans that stand for the range: quantiles of mass index, or of age, in turn of both sexes.

    Nobody picks the examples by their looks.
    """
    order = next((c for c in ("bmi_kg_m2", "age_years") if c in subjects.columns), None)
    rows = subjects.with_row_index("row")
    if order is not None:
        rows = rows.filter(polars.col(order).is_not_null()).sort(order)
    numbers = rows["row"].to_list() or list(range(subjects.height))
    places = np.unique(np.round(np.linspace(0.02, 0.98, count) * (len(numbers) - 1)).astype(int))
    return [int(numbers[place]) for place in places]


def _overview(opened: Split) -> SplitOverview:
    subjects = with_fat_percent(opened.subjects)
    sexes = subjects["sex"].drop_nulls().to_list() if "sex" in subjects.columns else []
    return SplitOverview(
        part=opened.part,
        split=opened.split,
        patients=len(set(opened.patients)),
        scans=len(opened),
        female_share=sexes.count("female") / len(sexes) if sexes else None,
        values={
            name: subjects[name].drop_nulls().to_numpy().astype(np.float64)
            for name, _ in QUANTITIES
            if name in subjects.columns
        },
        implants=_with_metal(subjects["implants"].to_list()) if "implants" in subjects.columns else None,
    )


def _with_metal(implants: Sequence[str | None]) -> int:
    """Scans with more metal than fillings."""
    return sum(any(name != "fillings" for name in (text or "").split()) for text in implants)
