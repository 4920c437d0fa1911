"""CSV as it comes back from other people's spreadsheets, and as it leaves for them.

A spreadsheet saves with the separators and in the encoding of its country: commas, semicolons or tabs,
UTF-8, UTF-16 or an old code page, a byte order mark or a line `sep=;` in front. All of that is read;
whatever could mean two things is an error.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.contracts import InputError

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_MEND = "save the sheet as CSV"


@dataclass(frozen=True)
class Row:
    """One row that is not empty: the line of the file it ends on, and its cells by column, stripped."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Sheet:
    """The names of a sheet's columns, in small letters and stripped, and its rows; at least one."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def csv_bytes(rows: Sequence[Sequence[str]]) -> bytes:
    """Rows as CSV in UTF-8."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def read_sheet(path: Path) -> Sheet:
    """Read a CSV file; rows without any content are skipped.

    Raises
    ------
    InputError
        If the file cannot be read or is a workbook, has no rows, names a column twice, or a row has more
        values than there are columns.
    """
    text = _decoded(path)
    if named := re.match(r"sep=(.)\r?\n", text):
        text, separator = text[named.end() :], named[1]
    else:
        first = next(iter(text.lstrip().splitlines()), "")
        separator = max(",;\t", key=lambda one: len(next(csv.reader([first], delimiter=one), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        found = [
            (reader.line_num + (named is not None), cells) for cells in reader if any(map(str.strip, cells))
        ]
    except csv.Error as error:
        raise InputError(f"{path} cannot be read ({error})", mend=_MEND) from error
    if len(found) < 2:
        raise InputError(f"{path} has no rows", mend="give a CSV file with a header and one row per scan")
    columns = tuple(name.strip().lower() for name in found[0][1])
    repeated = [name for name, count in Counter(columns).items() if name and count > 1]
    if repeated:
        raise InputError(f"{path}: column '{repeated[0]}' is there twice", mend="leave one of them")
    return Sheet(columns, tuple(_row(path, line, cells, columns) for line, cells in found[1:]))


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", mend="give a CSV file") from error
    if content.startswith(_WORKBOOKS):
        raise InputError(f"{path} is a workbook, not CSV", mend=_MEND)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        # Of an old code page nothing is used but letters and digits that all of them share.
        text = content.decode("latin-1")
    if "\0" in text:
        raise InputError(f"{path} is no text", mend=_MEND)
    return text


def _row(path: Path, line: int, cells: Sequence[str], columns: Sequence[str]) -> Row:
    stripped = [cell.strip() for cell in cells]
    if any(stripped[len(columns) :]):
        raise InputError(
            f"{path}, line {line}, has {len(cells)} values under {len(columns)} columns",
            mend="put values that contain the separator, such as decimal commas, in quotation marks, or save "
            "with semicolons between the columns",
        )
    stripped += [""] * (len(columns) - len(stripped))
    return Row(line, dict(zip(columns, stripped, strict=False)))
