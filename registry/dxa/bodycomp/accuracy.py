"""Accuracy on simulated subjects whose composition is known: what the analyser adds, step by step.

=================  ============  ==============  ===========  ===========================================
condition          noise         fat under bone  regions      measures
=================  ============  ==============  ===========  ===========================================
``oracle``         none          known           the rig's    raw: the inversion alone
``blind``          none          estimated       the rig's    raw: adds the estimate under bone
``maps_only``      default dose  estimated       the rig's    raw: what noise and estimate cost
``regions_only``   none          true maps       automatic    raw: what the regions cost
``calibrated``     default dose  estimated       automatic    calibrated: what users get
``noise_free``     none          estimated       automatic    raw: what better statistics would give
``fat_known``      default dose  known           automatic    raw: what a right estimate would give
``noise_only``     default dose  known           the rig's    raw: what right regions would give besides
=================  ============  ==============  ===========  ===========================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from registry.dxa.bodycomp import subjects
from registry.dxa.bodycomp.analysis import MEASURES, analyse, region_measures
from registry.dxa.bodycomp.calibration import Calibration, committed_calibration
from registry.dxa.bodycomp.maps import CompositionMaps, composition_maps
from registry.dxa.bodycomp.outline import OUTSIDE, region_overlaps
from registry.dxa.bodycomp.region_network import divide
from registry.dxa.cohort.rig import REGIONS
from registry.dxa.cohort.subject import Visit
from registry.dxa.imaging.channels import GAIN_COUNTS_PER_NEPER, OFFSET_COUNTS
from registry.dxa.imaging.scanner import Scanner

Array = npt.NDArray[np.float64]

CONDITIONS = ("oracle", "blind", "maps_only", "regions_only", "calibrated")
#: One cause of error after the other taken away from what users get.
LIMITS = ("calibrated", "noise_free", "fat_known", "maps_only", "noise_only")
GROUPS = ("all ages", "men", "women", "arms apart")
ADULT_YEARS = 18.0


@dataclass(frozen=True)
class Accuracy:
    """Agreement of one measure with the truth, under one condition and in one group.

    Parameters
    ----------
    measure, condition, group
        What it is about; men and women are adults; ``arms apart`` leaves out those whose arms lie on or
        against the trunk, of all ages.
    subjects
        How many were analysed.
    r2
        ``1 - SSE / SST``.
    r2_pearson
        Squared correlation: R2 after the best straight line.
    rmse, bias
        In the measure's unit; bias is measured minus true.
    rmse_percent
        RMSE over the mean of the truth.
    """

    measure: str
    condition: str
    group: str
    subjects: int
    r2: float
    r2_pearson: float
    rmse: float
    bias: float
    rmse_percent: float


@dataclass(frozen=True)
class RegionAccuracy:
    """Overlap of an automatic region with the rig's, over subjects.

    Parameters
    ----------
    region
        One of ``REGIONS``.
    median_overlap, least_overlap
        Intersection over union.
    """

    region: str
    median_overlap: float
    least_overlap: float


@dataclass(frozen=True)
class AccuracyStudy:
    """Rows for every measure, condition and group, and the regions'."""

    rows: tuple[Accuracy, ...]
    regions: tuple[RegionAccuracy, ...]
    not_analysable: int

    def row(self, measure: str, condition: str, group: str = "all ages") -> Accuracy:
        """One row."""
        return next(r for r in self.rows if (r.measure, r.condition, r.group) == (measure, condition, group))


def accuracy_study(
    count: int = 100,
    conditions: Iterable[str] = CONDITIONS,
    calibration: Calibration | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AccuracyStudy:
    """Analyse reserved simulated subjects and compare with their true maps.

    Parameters
    ----------
    count
        Subjects, over all ages.
    conditions
        Of ``CONDITIONS`` and ``LIMITS``.
    calibration
        The package's unless given.
    progress
        Called with subjects done and in all.
    """
    calibration = calibration or committed_calibration()
    conditions = tuple(conditions)
    found: dict[str, list[list[float]]] = {condition: [] for condition in conditions}
    truth, sexes, ages = [], [], []
    apart: list[bool] = []
    overlaps: list[Array] = []
    for number, subject in enumerate(subjects.simulate_subjects("accuracy", count), 1):
        visit = subject.visits[0]
        truth.append([visit.measures[name] for name in MEASURES])
        sexes.append(subject.planned.sex)
        ages.append(subject.planned.age_years)
        for condition in conditions:
            measures = _MEASURE[condition](visit, calibration)
            found[condition].append([measures.get(name, np.nan) for name in MEASURES])
        overlaps.append(region_overlaps(_automatic_regions(visit), visit.composition.region))
        apart.append("limbs_touching" not in analyse([visit.scan.codes]).scans[0].flags)
        if progress is not None:
            progress(number, count)
    adult = np.array(ages) >= ADULT_YEARS
    male = np.array(sexes) == "male"
    members = {"all ages": np.ones(count, dtype=np.bool_), "men": adult & male, "women": adult & ~male}
    members["arms apart"] = np.array(apart)
    rows = [
        agreement(np.array(values)[members[group], column], np.array(truth)[members[group], column],
                  name, condition, group)
        for condition, values in found.items()
        for column, name in enumerate(MEASURES)
        for group in GROUPS
    ]  # fmt: skip
    overlap = np.array(overlaps)
    regions = tuple(
        RegionAccuracy(name, float(np.median(overlap[:, k])), float(overlap[:, k].min()))
        for k, name in enumerate(REGIONS)
    )
    failed = int(sum(np.isnan(row).any() for row in np.array(next(iter(found.values())))))
    return AccuracyStudy(tuple(rows), regions, failed)


def agreement(measured: Array, true: Array, measure: str, condition: str, group: str) -> Accuracy:
    """Compare measured and true values; pairs that are not finite are left out and not counted."""
    complete = np.isfinite(measured) & np.isfinite(true)
    measured, true = measured[complete], true[complete]
    error = measured - true
    spread = float(((true - true.mean()) ** 2).sum())
    rmse = float(np.sqrt((error**2).mean()))
    return Accuracy(
        measure=measure,
        condition=condition,
        group=group,
        subjects=len(true),
        r2=1.0 - float((error**2).sum()) / spread,
        r2_pearson=float(np.corrcoef(measured, true)[0, 1] ** 2),
        rmse=rmse,
        bias=float(error.mean()),
        rmse_percent=100.0 * rmse / float(true.mean()),
    )


def noise_cv_percent(count: int = 20, repeats: int = 8, photons: float = 3e6) -> dict[str, float]:
    """Coefficient of variation that noise alone causes, in percent, root mean square over subjects.

    Body, position and regions are held; the estimate under bone is made anew in every scan.
    """
    scanner = Scanner(photons=photons)
    squares = []
    for number, subject in enumerate(subjects.simulate_subjects("accuracy", count)):
        visit = subject.visits[0]
        density, region = visit.composition.densities_g_cm2, visit.composition.region
        values = []
        for repeat in range(repeats):
            codes = scanner.scan(density, np.random.default_rng([number, repeat])).codes
            maps = composition_maps(codes)
            if maps is not None:
                measures = region_measures(maps.densities_g_cm2, region)
                values.append([measures[name] for name in MEASURES])
        table = np.array(values)
        squares.append((table.std(axis=0, ddof=1) / table.mean(axis=0)) ** 2)
    return dict(zip(MEASURES, (100.0 * np.sqrt(np.mean(squares, axis=0))).tolist(), strict=True))


def clean_codes(visit: Visit) -> Array:
    """Codes of a visit without noise and without rounding."""
    attenuation = Scanner(photons=None).attenuation(visit.composition.densities_g_cm2)
    return np.asarray(OFFSET_COUNTS + GAIN_COUNTS_PER_NEPER * attenuation)


def _oracle(visit: Visit, _: Calibration) -> dict[str, float]:
    maps = _maps_with_known_fat(visit, clean_codes(visit))
    return region_measures(maps.densities_g_cm2, visit.composition.region) if maps else {}


def _blind(visit: Visit, _: Calibration) -> dict[str, float]:
    maps = composition_maps(clean_codes(visit))
    return region_measures(maps.densities_g_cm2, visit.composition.region) if maps else {}


def _maps_only(visit: Visit, _: Calibration) -> dict[str, float]:
    maps = composition_maps(visit.scan.codes)
    return region_measures(maps.densities_g_cm2, visit.composition.region) if maps else {}


def _regions_only(visit: Visit, _: Calibration) -> dict[str, float]:
    return region_measures(visit.composition.densities_g_cm2, _automatic_regions(visit))


def _noise_free(visit: Visit, _: Calibration) -> dict[str, float]:
    return analyse([clean_codes(visit)]).scans[0].measures


def _fat_known(visit: Visit, _: Calibration) -> dict[str, float]:
    maps = _maps_with_known_fat(visit, visit.scan.codes)
    if maps is None:
        return {}
    return region_measures(maps.densities_g_cm2, divide(maps.soft_tissue_g_cm2, maps.body))


def _noise_only(visit: Visit, _: Calibration) -> dict[str, float]:
    maps = _maps_with_known_fat(visit, visit.scan.codes)
    return region_measures(maps.densities_g_cm2, visit.composition.region) if maps else {}


def _maps_with_known_fat(visit: Visit, codes: npt.NDArray[np.generic]) -> CompositionMaps | None:
    density = visit.composition.densities_g_cm2
    return composition_maps(codes, fat_under_bone=(density[..., 0], density[..., 2] > 0))


def _calibrated(visit: Visit, calibration: Calibration) -> dict[str, float]:
    return analyse([visit.scan.codes], calibration=calibration).scans[0].measures


_MEASURE: dict[str, Callable[[Visit, Calibration], dict[str, float]]] = {
    "oracle": _oracle,
    "blind": _blind,
    "maps_only": _maps_only,
    "regions_only": _regions_only,
    "calibrated": _calibrated,
    "noise_free": _noise_free,
    "fat_known": _fat_known,
    "noise_only": _noise_only,
}


def _automatic_regions(visit: Visit) -> npt.NDArray[np.int8]:
    # Regions do not depend on the fat under bone, whose estimate takes most of the time.
    maps = _maps_with_known_fat(visit, clean_codes(visit))
    if maps is None:
        return np.full(visit.composition.region.shape, OUTSIDE, dtype=np.int8)
    return divide(maps.soft_tissue_g_cm2, maps.body)
