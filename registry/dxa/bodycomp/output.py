"""What the commands write: whole or not at all, and refused before any work where it cannot be written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from registry.contracts import DataError, InputError
from registry.dxa.cohort.manifest import write_atomically

if TYPE_CHECKING:
    import polars

TABLES = (".parquet", ".csv")


def check_table_path(path: Path) -> None:
    """Refuse a path that no table can be written to.

    Raises
    ------
    InputError
        If its ending says no format, or it is a folder.
    """
    if path.suffix not in TABLES:
        raise InputError(f"{path} ends neither in .parquet nor in .csv", mend="choose one of these endings")
    if path.is_dir():
        raise InputError(f"{path} is a folder", mend="name a file in it")


def write_table(frame: polars.DataFrame, path: Path) -> None:
    """Write a table as parquet or CSV, by the ending that :func:`check_table_path` accepts."""
    buffer = io.BytesIO()
    if path.suffix == ".parquet":
        frame.write_parquet(buffer)
    else:
        frame.write_csv(buffer)
    write_file(path, buffer.getvalue())


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one step, with the folders that lead to it.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror})",
            mend="free space, or choose a place that can be written",
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder, unless it is there.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"folder {path} cannot be made ({error.strerror})", mend="choose another folder"
        ) from error
