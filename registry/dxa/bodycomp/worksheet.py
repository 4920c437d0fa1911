"""The worksheet: one row per scan, for people or software to fill in, and what its values have to be.

Units are part of the columns' names, which is what makes a wrong one visible.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.dxa.bodycomp.analysis import MEASURES
from registry.dxa.bodycomp.spreadsheet import Row, Sheet, csv_bytes, read_sheet
from registry.dxa.cohort.measures import COMPOSITION
from registry.dxa.imaging.channels import CHANNELS, GAIN_COUNTS_PER_NEPER, MAXIMUM_CODE, OFFSET_COUNTS
from registry.dxa.imaging.geometry import Grid

ID_COLUMN = "blinded_id"
FILE_COLUMN = "file"
# Values beyond belong to another unit (grams, percent) or are slips of the pen.
LARGEST = {"bmc": 8.0, "bmd": 3.0, "fat": 250.0, "lean": 200.0, "mass": 400.0}


def empty_worksheet(blinded_ids: Sequence[str]) -> bytes:
    """The worksheet to fill in, as CSV."""
    rows = [[name, scan_file(name), *[""] * len(MEASURES)] for name in blinded_ids]
    return csv_bytes([[ID_COLUMN, FILE_COLUMN, *MEASURES], *rows])


def scan_file(blinded_id: str) -> str:
    """Where a scan lies in the folder that is handed over."""
    return f"scans/{blinded_id}.npy"


def readme(grid: Grid, *, simulated: bool) -> str:
    """What whoever measures has to know about scans and worksheet."""
    columns = "\n".join(f"  {one.name:<17}{one.label:<18}{one.unit}" for one in COMPOSITION)
    offset, gain = f"{OFFSET_COUNTS:g}", f"{GAIN_COUNTS_PER_NEPER:g}"
    mark = "\nSIMULATED: nobody was scanned; no value is a clinical result.\n" if simulated else ""
    return f"""WHOLE-BODY DXA SCANS, TO BE MEASURED BY OTHER SOFTWARE
{mark}
worksheet.csv   one row per scan, to be filled in and sent back
scans/          one file per scan, named by the id of its row

Scans
  File       NumPy array of unsigned 16-bit integers, of which {MAXIMUM_CODE.bit_length()} bits are used;
             in Python: numpy.load("scans/<id>.npy")
  Shape      {(*grid.shape, len(CHANNELS))}: rows from head to feet, columns from the subject's right to left,
             channels
  Channels   {", ".join(CHANNELS)}:
             phase of the calibration wheel (air, bone, tissue), high or low energy
  Values     code = {offset} + {gain} * ln(I0 / I), so that I / I0 = exp(({offset} - code) / {gain})
  Pixels     {grid.row_spacing_cm} cm along and {grid.column_spacing_cm} cm across the body

Worksheet
{columns}

  "Arm" and "Leg" are both arms and both legs together, "Total" is the whole body with the head. BMC and BMD
  are bone mineral content and areal density. Lean mass is without bone mineral; total mass is fat, lean mass
  and BMC together.

  Fill in all measures of a scan. Where a scan could not be analysed, leave all of them empty and the row in
  its place. Do not change ids or names of columns. Rows and columns may change their order, and columns may
  be added. Save as CSV: commas, semicolons or tabs between columns, decimal points or commas in numbers.
"""


def read_measures(results: Path, blinded_ids: Sequence[str], *, key: Path) -> npt.NDArray[np.float64]:
    """Measures of a worksheet that was filled in, in the order of ids.

    Parameters
    ----------
    results
        CSV with a column of blinded ids and the 13 measures; other columns are ignored. A row whose measures
        are all empty is a scan that could not be analysed.
    blinded_ids
        That it has to have, each once.
    key
        Where they stand, for messages.

    Returns
    -------
    array
        In the order of ``MEASURES``, NaN where a scan could not be analysed, shape (ids, 13).

    Raises
    ------
    InputError
        Naming the file, the column or id, and the value: a measure is missing or in another unit, an id is
        missing, repeated or unknown, a row is incomplete, a value is no number or not plausible in its unit,
        or nothing was measured.
    """
    sheet = read_sheet(results)
    _check_header(results, sheet.columns)
    number = _numbers(sheet)
    values = np.full((len(blinded_ids), len(MEASURES)), np.nan)
    position = {blinded: place for place, blinded in enumerate(blinded_ids)}
    defects: list[tuple[int, InputError]] = []
    for row in sheet.rows:
        try:
            blinded = _known_id(results, row, position, key)
            values[position[blinded]] = _row_values(results, row, number)
        except InputError as defect:
            defects.append((row.line, defect))
    if defects:
        raise _all_of(defects)
    _check_ids(results, [row.cells[ID_COLUMN] for row in sheet.rows], blinded_ids)
    if np.isnan(values).all():
        raise InputError(
            f"{results}: the measures of all {len(values)} scans are empty", mend="fill in the worksheet"
        )
    return values


def _all_of(defects: Sequence[tuple[int, InputError]], named: int = 10) -> InputError:
    """The first defect, and in which other lines there are more."""
    _, first = defects[0]
    others = [str(line) for line, _ in defects[1:]]
    if not others:
        return first
    more = f"{', '.join(others[:named])}{' ...' if len(others) > named else ''}"
    what = "line is" if len(others) == 1 else "lines are"
    return InputError(first.message, mend=f"{first.mend}; {len(others)} more {what} wrong: {more}")


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first of many names."""
    return ", ".join(names[:limit]) + (" ..." if len(names) > limit else "")


def _check_header(path: Path, header: Sequence[str]) -> None:
    if ID_COLUMN not in header:
        raise InputError(
            f"{path} has no column '{ID_COLUMN}'", mend="return the worksheet's columns unchanged"
        )
    for measure in COMPOSITION:
        if measure.name in header:
            continue
        stem = f"{measure.location.lower()}_{measure.quantity}"
        other = next((name for name in header if name.replace(" ", "_").startswith(stem)), None)
        if other is not None:
            raise InputError(
                f"{path}: column '{other}' is not in {measure.unit}",
                mend=f"convert it to {measure.unit} and call it '{measure.name}'",
            )
        raise InputError(
            f"{path} has no column '{measure.name}'",
            mend=f"add {measure.label} in {measure.unit} under this name",
        )


def _numbers(sheet: Sheet) -> Callable[[str], float]:
    """How the sheet writes numbers: with commas where no value of it has a point."""
    texts = [row.cells[name] for row in sheet.rows for name in MEASURES]
    if any("," in text for text in texts) and not any("." in text for text in texts):
        return lambda text: float(text.replace(",", "."))
    return float


def _known_id(path: Path, row: Row, known: Container[str], key: Path) -> str:
    blinded = row.cells[ID_COLUMN]
    if blinded not in known:
        raise InputError(
            f"{path}, line {row.line}: {ID_COLUMN} {blinded!r} is not in {key}",
            mend="return the ids of the worksheet unchanged; those of another export have another key",
        )
    return blinded


def _row_values(path: Path, row: Row, number: Callable[[str], float]) -> list[float]:
    texts = [row.cells[name] for name in MEASURES]
    if not any(texts):
        return [math.nan] * len(MEASURES)
    values = []
    for measure, text in zip(COMPOSITION, texts, strict=True):
        place = f"{path}, line {row.line}, {row.cells[ID_COLUMN]}: '{measure.name}'"
        if not text:
            raise InputError(
                f"{place} is empty but other measures are not",
                mend="fill in all 13 measures, or none of them where the scan could not be analysed",
            )
        try:
            value = number(text)
        except ValueError as error:
            raise InputError(
                f"{place} is {text!r}",
                mend="write a number, with a decimal point and nothing between thousands; leave all 13 "
                "measures empty where the scan could not be analysed",
            ) from error
        if value < 0:
            raise InputError(f"{place} = {text} is negative", mend="write what the software measured")
        if not value <= LARGEST[measure.quantity]:
            raise InputError(
                f"{place} = {text} is not plausible in {measure.unit}",
                mend=f"convert the column to {measure.unit}",
            )
        values.append(value)
    return values


def _check_ids(path: Path, seen: Sequence[str], expected: Sequence[str]) -> None:
    repeated = sorted(name for name, count in Counter(seen).items() if count > 1)
    if repeated:
        raise InputError(f"{path}: ids repeat: {some(repeated)}", mend="leave one row for each id")
    missing = sorted(set(expected) - set(seen))
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(expected)} ids are missing: {some(missing)}",
            mend="add their rows; leave the measures of scans that could not be analysed empty",
        )
