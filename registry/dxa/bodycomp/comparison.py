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
    lower, upper
        Limits of agreement: 95 % of the differences, were they normal, lie within (Bland and Altman 1986).
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
    lower: float
    upper: float
    slope: float
    ccc: float


def agreement(measure: str, reference: npt.ArrayLike, other: npt.ArrayLike) -> Agreement:
    """Agreement of paired values, NaN where one is missing.

    Raises
    ------
    InputError
        If fewer than three pairs are complete, or the reference is the same in all of them.

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
    if not spread:
        raise InputError(
            f"{measure} is {x[0]:g} in all {len(x)} scans of the reference",
            mend="give a reference whose scans differ",
        )
    shared = float(((x - x.mean()) * (y - y.mean())).sum())
    other_spread = float(np.square(y - y.mean()).sum())
    error = y - x
    bias, reach = float(error.mean()), 1.96 * float(error.std(ddof=1))
    return Agreement(
        measure,
        len(x),
        r2=1.0 - float(np.square(error).sum()) / spread,
        r2_pearson=shared**2 / (spread * other_spread) if other_spread else 0.0,
        rmse=float(np.sqrt(np.square(error).mean())),
        bias=bias,
        lower=bias - reach,
        upper=bias + reach,
        slope=shared / spread,
        ccc=2 * shared / (spread + other_spread + len(x) * bias**2),
    )


@dataclass(frozen=True)
class TwoTables:
    """What two tables of measures have to do with each other.

    Parameters
    ----------
    measures
        Agreement of each.
    shared, incomplete
        Scans that are in both, and how many of them one of the tables has no complete measures of.
    only_reference, only_other
        Scans that are in one of them.
    analysers
        Who measured reference and other.
    simulated
        Whether one of them is marked so.
    """

    measures: tuple[Agreement, ...]
    shared: int
    incomplete: int
    only_reference: int
    only_other: int
    analysers: tuple[str, str]
    simulated: bool


#: What a cohort's own measures are called as an analyser.
KNOWN = "known values"


def compare_tables(reference: Path, other: Path, *, part: str = "paired", split: str = "test") -> TwoTables:
    """How two tables of measures agree over the scans that they share.

    Parameters
    ----------
    reference, other
        Parquet or CSV, as `harness bodycomp analyse --output` and `import --output` write them; or the folder
        of a cohort, for the measures that it knows of its subjects.
    part, split
        Of a cohort.

    Raises
    ------
    DataError
        If a file cannot be read or lacks a column.
    InputError
        If the tables share too few scans, or a measure is the same in all of them.
    """
    first, second = (
        _known(path, part, split) if path.is_dir() else _read(path) for path in (reference, other)
    )
    joined = first.join(second, on="scan_id", suffix="_other")
    if not joined.height:
        raise InputError(
            f"{reference} and {other} have no scan in common: they call theirs {first['scan_id'][0]!r} and "
            f"{second['scan_id'][0]!r}",
            mend="give tables of the same scans under the same ids (`analyse --cohort` has a cohort's)",
        )
    found = tuple(
        agreement(name, *(joined[column].to_numpy() for column in (name, f"{name}_other")))
        for name in MEASURES
    )
    complete = joined.select([*MEASURES, *(f"{name}_other" for name in MEASURES)]).to_numpy()
    return TwoTables(
        found,
        joined.height,
        int((~np.isfinite(complete).all(axis=1)).sum()),
        first.height - joined.height,
        second.height - joined.height,
        (first["analyser"][0], second["analyser"][0]),
        bool(first["simulated"].any() or second["simulated"].any()),
    )


def _known(folder: Path, part: str, split: str) -> polars.DataFrame:
    """The measures that a cohort knows, as a table of the same columns."""
    import polars  # noqa: PLC0415

    from registry.dxa.cohort.store import open_split  # noqa: PLC0415

    opened = open_split(folder, part, split)
    values = dict(zip(MEASURES, opened.measures(MEASURES).T, strict=True))
    told = {"scan_id": opened.scan_ids, "analyser": KNOWN, "simulated": opened.simulated}
    return polars.DataFrame({**told, **values})


def _read(path: Path) -> polars.DataFrame:
    import polars  # noqa: PLC0415 - seconds, and only where tables are read

    try:
        frame = polars.read_parquet(path) if path.suffix == ".parquet" else polars.read_csv(path)
        table = frame.select(
            polars.col("scan_id", "analyser").cast(polars.String),
            polars.col("simulated").cast(polars.Boolean),
            polars.col(MEASURES).cast(polars.Float64),
        )
    except (OSError, polars.exceptions.PolarsError) as error:
        raise DataError(
            f"{path} is no table of measures ({str(error).splitlines()[0]})",
            mend="give what `harness bodycomp analyse --output` or `import --output` wrote",
        ) from error
    if not table.height:
        raise DataError(f"{path} has no scans", mend="give a table with rows")
    repeated = table.filter(table["scan_id"].is_duplicated())
    if repeated.height:
        raise DataError(f"{path}: scan {repeated['scan_id'][0]!r} is there twice", mend="leave one out")
    return table.with_columns(polars.col(MEASURES).fill_null(float("nan")))
