"""The pixel grid of a whole-body scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Grid:
    """A grid seen from above: rows run from head to feet, columns from the subject's right to left.

    Parameters
    ----------
    rows, columns
        Number of pixels.
    row_spacing_cm, column_spacing_cm
        Distance between pixel centres.

    Examples
    --------
    >>> GRID.shape, round(GRID.length_cm, 1), round(GRID.width_cm, 2)
    ((150, 109), 195.0, 64.96)
    """

    rows: int = 150
    columns: int = 109
    row_spacing_cm: float = 1.30
    column_spacing_cm: float = 0.596

    def __str__(self) -> str:
        """Numbers and size of the pixels."""
        return (
            f"{self.rows} x {self.columns} pixels of {self.row_spacing_cm:g} x {self.column_spacing_cm:g} cm"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def pixel_area_cm2(self) -> float:
        """Area of one pixel."""
        return self.row_spacing_cm * self.column_spacing_cm

    @property
    def length_cm(self) -> float:
        """Extent along the table."""
        return self.rows * self.row_spacing_cm

    @property
    def width_cm(self) -> float:
        """Extent across the table."""
        return self.columns * self.column_spacing_cm

    def refined(self, down: int, across: int) -> Grid:
        """The same field with every pixel cut into `down` rows and `across` columns.

        Examples
        --------
        >>> GRID.refined(4, 2).shape, GRID.refined(4, 2).length_cm == GRID.length_cm
        ((600, 218), True)
        """
        return Grid(
            self.rows * down,
            self.columns * across,
            self.row_spacing_cm / down,
            self.column_spacing_cm / across,
        )

    def row_centres_cm(self) -> npt.NDArray[np.float64]:
        """Height of each row's centre above the foot end of the field."""
        return np.asarray(
            self.length_cm - (np.arange(self.rows) + 0.5) * self.row_spacing_cm, dtype=np.float64
        )

    def column_centres_cm(self) -> npt.NDArray[np.float64]:
        """Position of each column's centre from the middle of the table."""
        centres = (np.arange(self.columns) + 0.5) * self.column_spacing_cm
        return np.asarray(centres - self.width_cm / 2, dtype=np.float64)


# A whole-body field of 195 x 65 cm (recalled from a scanner's data sheet, unverified).
GRID = Grid()
