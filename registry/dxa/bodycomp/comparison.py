"""Two tables of measures of the same scans, whoever measured them: agreement measure by measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from registry.contracts import DataError, InputError
from registry.dxa.bodycomp.analysis import MEASURES

if TYPE_CHECKING:
    import polars

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How one measure agrees between two tables, over scans that both could measure.

    Parameters
    ----------
    measure, scans
        Which, and over how many scans.
    r2, r2_pearson
        1 - SSE / SST of the reference, and squared correlation.
    rmse, bias
        In the measure's unit; bias is other minus reference.
    slope
        Of other over reference, least squares.
    ccc
        Lin's concordance correlation coefficient (1989).
    """

    measure: str
    scans: int
    r2: float
    r2_pearson: float
    rmse: float
    bias: float
    slope: float
    ccc: float


def agreement(measure: str, reference: npt.ArrayLike, other: npt.ArrayLike) -> Agreement:
    """Agreement of paired values, NaN where one is missing.

    Raises
    ------
    InputError
        If fewer than three pairs are complete.

    Examples
    --------
    >>> found = agreement("total_fat_kg", [1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    >>> found.bias, found.slope, found.r2_pearson, found.r2
    (1.0, 1.0, 1.0, -0.5)
    """
    pairs = np.stack([np.asarray(reference, np.float64), np.asarray(other, np.float64)])
    x, y = pairs[:, np.isfinite(pairs).all(axis=0)]
    if len(x) < 3:
        raise InputError(
            f"{measure}: {len(x)} scans have it in both tables", mend="give tables that share at least three"
        )
    spread = float(np.square(x - x.mean()).sum())
    shared = float(((x - x.mean()) * (y - y.mean())).sum())
    other_spread = float(np.square(y - y.mean()).sum())
    error = y - x
    return Agreement(
        measure,
        len(x),
        r2=1.0 - float(np.square(error).sum()) / spread,
        r2_pearson=shared**2 / (spread * other_spread) if other_spread else 0.0,
        rmse=float(np.sqrt(np.square(error).mean())),
        bias=float(error.mean()),
        slope=shared / spread,
        ccc=2 * shared / (spread + other_spread + len(x) * float(error.mean()) ** 2),
    )


def compare_tables(reference: Path, other: Path) -> tuple[list[Agreement], int]:
    """Agreement of all measures of two files, and how many shared scans one of them could not measure.

    Parameters
    ----------
    reference, other
        Parquet or CSV, as `harness bodycomp analyse --output` and `import --output` write them.

    Raises
    ------
    DataError
        If a file cannot be read or lacks a column.
    InputError
        If the tables share too few scans.
    """
    joined = _read(reference).join(_read(other), on="scan_id", suffix="_other")
    found = []
    for measure in MEASURES:
        first, second = (joined[name].to_numpy() for name in (measure, f"{measure}_other"))
        found.append(agreement(measure, first, second))
    complete = joined.select([*MEASURES, *(f"{name}_other" for name in MEASURES)]).to_numpy()
    return found, int((~np.isfinite(complete).all(axis=1)).sum())


def _read(path: Path) -> polars.DataFrame:
    import polars  # noqa: PLC0415 - seconds, and only where tables are read

    try:
        frame = polars.read_parquet(path) if path.suffix == ".parquet" else polars.read_csv(path)
        table = frame.select(
            polars.col("scan_id").cast(polars.String), polars.col(MEASURES).cast(polars.Float64)
        )
    except (OSError, polars.exceptions.PolarsError) as error:
        raise DataError(
            f"{path} is no table of measures ({str(error).splitlines()[0]})",
            mend="give what `harness bodycomp analyse --output` or `import --output` wrote",
        ) from error
    repeated = table.filter(table["scan_id"].is_duplicated())
    if repeated.height:
        raise DataError(f"{path}: scan {repeated['scan_id'][0]!r} is there twice", mend="leave one out")
    return table.with_columns(polars.col(MEASURES).fill_null(float("nan")))
