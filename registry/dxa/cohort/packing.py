"""Writing packed arrays: one ``.npy`` per split, a block at a time, never whole in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def write_npy(path: Path, blocks: Iterable[npt.NDArray[Any]], rows: int) -> None:
    """Write blocks of rows as one array of ``rows`` rows.

    Written, not memory-mapped: on a full disk a write is an error, where a map would kill the process.

    Parameters
    ----------
    path
        File to write.
    blocks
        Arrays of the same type and the same shape but for their length.
    rows
        Rows of all blocks together.

    Raises
    ------
    ValueError
        If the blocks do not have so many rows.
    """
    written = 0
    with path.open("wb") as stream:
        for block in blocks:
            array = np.ascontiguousarray(block)
            if not written:
                header = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(stream, header | {"shape": (rows, *array.shape[1:])})
            stream.write(array.tobytes())
            written += len(array)
        stream.flush()
        os.fsync(stream.fileno())
    if written != rows:
        raise ValueError(f"{path}: {written} rows were written, {rows} announced")
