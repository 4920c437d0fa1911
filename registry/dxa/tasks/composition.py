"""Body composition of real and generated scans: the same analyser on both, the same scans for every arm.

The analyser works on the scanner's grid. Scans that were reduced for training are brought back to it by
interpolation, real and generated ones alike: a generated scan is judged against what the real one shows at
the same resolution, and what the reduction itself costs burdens no arm (`docs/tasks.md` says how much).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from registry.contracts import DataError, InputError, TrialContext
from registry.dxa.cohort.measures import COMPOSITION
from registry.dxa.imaging import GRID, Grid
from registry.dxa.settings import DxaSettings
from registry.dxa.training.scans import ScanSplit, load_scans, reduce_scan

if TYPE_CHECKING:
    from registry.dxa.bodycomp.calibration import Calibration

Scans = NDArray[np.float32]
Matrix = NDArray[np.float64]

MEASURES = tuple(measure.name for measure in COMPOSITION)
#: Prefix of a measure whose target is the simulated truth instead of the analyser on the real scan.
TRUE = "true."
#: What the parts of a body lack to its whole: 0 where fat, lean tissue and mineral add up.
CLOSURE = "closure_kg"
_PARTS = ("total_fat_kg", "total_lean_kg", "total_bmc_kg")
_WHOLE = "total_mass_kg"
#: Analysed scans that a process remembers: every arm is compared with the same real ones.
_REMEMBERED = 4096
#: Back-projections; the second still changes measures by half a percent, a third does not.
_CORRECTIONS = 2
_memory: OrderedDict[bytes, Matrix] = OrderedDict()


@dataclass(frozen=True)
class Judgement:
    """Measures of generated scans beside their targets; as `Predictions` takes them."""

    targets: dict[str, Matrix]
    predictions: dict[str, Matrix]
    fallbacks: dict[str, float]

    @property
    def mean_r2(self) -> float:
        """1 - SSE / SST against the analyser on real scans, averaged over the 13 measures.

        Scans that could not be analysed count with the training mean, so that failing is no advantage. A
        measure that is the same in every real scan has no R² and is left out, under every arm alike.
        """
        values = []
        for name in MEASURES:
            target, predicted = self.targets[name], self.predictions[name]
            predicted = np.where(np.isfinite(predicted), predicted, self.fallbacks.get(name, np.nan))
            judged = np.isfinite(target)
            spread = np.square(target[judged] - target[judged].mean()).sum()
            if spread > 0:
                values.append(1 - np.square(target - predicted)[judged].sum() / spread)
        return float(np.mean(values))


def chosen_scans(count: int, limit: int | None) -> NDArray[np.int64]:
    """Which scans of a split are analysed: all, or `limit` of them, evenly spaced; no arm has a say.

    Examples
    --------
    >>> chosen_scans(9, 3).tolist()
    [0, 4, 8]
    """
    if limit is None or limit >= count:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).round().astype(np.int64))


def judge(context: TrialContext, split: ScanSplit, real: Scans, generated: Scans, *, part: str) -> Judgement:
    """Analyse the chosen scans of `split` and set the generated ones against the real ones.

    Parameters
    ----------
    context
        Its settings say how many scans are analysed; its train split gives the fallbacks.
    split
        Where the scans come from; its own measures are the truth where the cohort has one.
    real, generated
        (n, 6, height, width) counts of every scan of the split.
    part
        Of the cohort, for the fallbacks.

    Raises
    ------
    DataError
        If fewer than two of the chosen real scans can be analysed.
    """
    settings = DxaSettings(**context.settings)
    chosen = chosen_scans(len(real), settings.analysed_scans)
    measured = [
        _spread(measure_scans(scans[chosen], settings, split), chosen, len(real))
        for scans in (real, generated)
    ]
    target, predicted = measured
    if np.isfinite(target).all(1).sum() < 2:
        raise DataError(
            f"{int(np.isfinite(target).all(1).sum())} of {len(chosen)} real scans could be analysed",
            mend="raise 'analysed_scans' or lower 'scan_reduction' in [settings]; "
            "`harness bodycomp analyse` shows what is wrong with a scan",
        )
    # A real scan that cannot be analysed is no target; its generated twin is not judged, under any arm.
    targets = {**_columns(target), CLOSURE: closure_kg(target)}
    predictions = {**_columns(predicted), CLOSURE: closure_kg(predicted)}
    truth = truth_of(split)
    if truth is not None:
        truth = _spread(truth[chosen], chosen, len(real))
        targets |= {TRUE + name: values for name, values in _columns(truth).items()}
        predictions |= {TRUE + name: values for name, values in _columns(predicted).items()}
    return Judgement(targets, predictions, _fallbacks(context, part, targets, predictions))


def measure_scans(scans: Scans, settings: DxaSettings, split: ScanSplit) -> Matrix:
    """(n, 13) measures of (n, 6, height, width) counts; NaN where a scan cannot be analysed.

    The calibration is the one that comes with the cohort of `split`; the package's own for simulated scans.

    Raises
    ------
    InputError
        If the scans are real, or simulated on another scanner's pixels, and their cohort has no calibration.
    """
    from registry.dxa.bodycomp import analyse  # noqa: PLC0415 - compiles when it is first used

    calibration = _calibration(settings, split)
    used = "raw" if calibration is None else calibration.fingerprint
    rows = []
    for scan in scans:
        digest = hashlib.sha256(f"{used}{scan.shape}{split.grid}".encode())
        digest.update(np.ascontiguousarray(scan).tobytes())
        name = digest.digest()
        if name not in _memory:
            full = to_scanner_grid(scan, settings.scan_reduction, split.grid)
            _memory[name] = analyse(full[None], calibration=calibration, grid=split.grid).measures[0]
            if len(_memory) > _REMEMBERED:
                _memory.popitem(last=False)
        rows.append(_memory[name])
    return np.array(rows).reshape(-1, len(MEASURES))


def without_measures(settings: DxaSettings, split: ScanSplit, real: Scans) -> dict[str, str]:
    """How many of the chosen real scans cannot be analysed, as a fact to show; nothing where all can.

    They are no targets, so that no table of generated scans has a row for them.
    """
    chosen = chosen_scans(len(real), settings.analysed_scans)
    missing = int((~np.isfinite(measure_scans(real[chosen], settings, split)).all(1)).sum())
    if not missing:
        return {}
    return {"real scans without measures": f"{missing} of {len(chosen)}, judged under no arm"}


def require_calibration(settings: DxaSettings, split: ScanSplit) -> None:
    """Refuse scans whose composition nothing can tell; raises as :func:`measure_scans` does."""
    _calibration(settings, split)


def _calibration(settings: DxaSettings, split: ScanSplit) -> Calibration | None:
    """That of the cohort, the package's for simulated scans; `None` where raw measures are asked for."""
    from registry.dxa.bodycomp.calibration import calibration_for, read_calibration  # noqa: PLC0415

    if settings.composition_calibration == "raw":
        return None
    given = None if split.calibration is None else read_calibration(split.calibration)
    try:
        return calibration_for(given, simulated=split.simulated, grid=split.grid)
    except InputError as error:
        mend = f"{error.mend}; or set composition_calibration = 'raw' in [settings] to compare without units"
        raise InputError(error.message, mend=mend) from error


def to_scanner_grid(scan: Scans, reduction: int, grid: Grid = GRID) -> Scans:
    """(6, height, width) reduced counts as (rows, columns, 6).

    Linear interpolation between the centres of blocks, corrected until blocks average to what they were: a
    reduced scan keeps its mass. (Iterative back-projection; Irani and Peleg 1991.)
    """
    given = np.ascontiguousarray(scan.transpose(1, 2, 0), np.float32)
    if reduction == 1:
        return given
    full = _interpolate(given, reduction, grid)
    for _ in range(_CORRECTIONS):
        full += _interpolate(given - reduce_scan(full, reduction), reduction, grid)
    return full


def _interpolate(scan: Scans, factor: int, grid: Grid) -> Scans:
    from scipy.ndimage import zoom  # noqa: PLC0415

    full = zoom(scan, (factor, factor, 1), order=1, mode="nearest", grid_mode=True)
    return np.ascontiguousarray(full[: grid.rows, : grid.columns], np.float32)


def closure_kg(measures: Matrix) -> Matrix:
    """(n,) fat + lean + bone mineral - mass of (n, 13) measures."""
    columns = _columns(measures)
    return np.asarray(sum(columns[name] for name in _PARTS) - columns[_WHOLE])


def _columns(measures: Matrix) -> dict[str, Matrix]:
    return {name: measures[:, column] for column, name in enumerate(MEASURES)}


def _spread(values: Matrix, chosen: NDArray[np.int64], count: int) -> Matrix:
    """Rows of the chosen scans among NaN for all others."""
    full = np.full((count, values.shape[1]), np.nan)
    full[chosen] = values
    return full


def truth_of(split: ScanSplit) -> Matrix | None:
    """The composition that the cohort knows of its subjects, if it does."""
    try:
        return np.asarray(split.measures(MEASURES), np.float64)
    except DataError:
        return None


def _fallbacks(
    context: TrialContext, part: str, targets: Mapping[str, Matrix], predictions: Mapping[str, Matrix]
) -> dict[str, float]:
    """Means over train of the measures that a generated scan lacks; nothing where all have them."""
    lacking = [
        name for name, values in predictions.items() if (np.isnan(values) & np.isfinite(targets[name])).any()
    ]
    if not lacking:
        return {}
    means = _training_means(context, part)
    return {name: means[name] for name in lacking}


def _training_means(context: TrialContext, part: str) -> dict[str, float]:
    """Mean measures of the train split: by the analyser on chosen real scans, and true ones where known."""
    settings = DxaSettings(**context.settings)
    train = context.open_split(part, "train")
    scans = load_scans(train, settings.scan_reduction)
    chosen = chosen_scans(len(scans), settings.analysed_scans)
    measured = measure_scans(scans[chosen], settings, train)
    means = dict(zip(MEASURES, np.nanmean(measured, axis=0).tolist(), strict=True))
    means[CLOSURE] = float(np.nanmean(closure_kg(measured)))
    truth = truth_of(train)
    if truth is not None:
        means |= {TRUE + name: float(value) for name, value in zip(MEASURES, truth.mean(0), strict=True)}
    return means
