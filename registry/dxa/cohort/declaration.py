"""What cannot be read off scans and has to be declared: `cohort.toml` beside the table of scans."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, model_validator

from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.sources import Strict
from registry.dxa.imaging.channels import CHANNELS, GAIN_COUNTS_PER_NEPER, MAXIMUM_CODE, OFFSET_COUNTS
from registry.dxa.imaging.geometry import Grid

DECLARATION_NAME = "cohort.toml"
LEAST_PIXELS = 32
_MEND = "see docs/data.md for a complete example"


class Channel(Strict):
    """Phase of the filter drum and energy of the tube."""

    phase: Literal["air", "bone", "tissue"]
    energy: Literal["low", "high"]
    kilovolts: float | None = Field(default=None, gt=0, le=200)

    @property
    def name(self) -> str:
        """As in ``CHANNELS``."""
        return f"{self.phase}_{'lo' if self.energy == 'low' else 'hi'}"


class ScannerDeclaration(Strict):
    """Geometry, depth and scale of the stored values.

    Parameters
    ----------
    rows, columns
        Pixels; rows run from head to feet, columns from the subject's right to left. Networks halve scans
        five times, so that fewer than `LEAST_PIXELS` are refused.
    row_spacing_cm, column_spacing_cm
        Distance between pixel centres.
    bit_depth
        Of the values.
    gain_counts_per_neper, offset_counts
        A value is ``offset + gain * ln(I0 / I)``.
    channels
        In the order of the files' last axis.
    """

    rows: int = Field(ge=LEAST_PIXELS, le=4096)
    columns: int = Field(ge=LEAST_PIXELS, le=4096)
    row_spacing_cm: float = Field(gt=0, le=5)
    column_spacing_cm: float = Field(gt=0, le=5)
    bit_depth: int = Field(ge=8, le=16)
    gain_counts_per_neper: float = Field(gt=0)
    offset_counts: float
    channels: list[Channel]

    @model_validator(mode="after")
    def _readable(self) -> ScannerDeclaration:
        names = [channel.name for channel in self.channels]
        if sorted(names) != sorted(CHANNELS):
            raise ValueError(
                f"channels are {', '.join(names) or 'none'}; each of {', '.join(CHANNELS)} is needed once"
            )
        return self

    @property
    def grid(self) -> Grid:
        """The pixels of a scan."""
        return Grid(self.rows, self.columns, self.row_spacing_cm, self.column_spacing_cm)

    @property
    def order(self) -> list[int]:
        """Where each of ``CHANNELS`` stands in the files."""
        names = [channel.name for channel in self.channels]
        return [names.index(name) for name in CHANNELS]

    @property
    def as_stored(self) -> bool:
        """Whether values and channels are those of a packed cohort already."""
        scale = (self.gain_counts_per_neper, self.offset_counts)
        return scale == (GAIN_COUNTS_PER_NEPER, OFFSET_COUNTS) and self.order == list(range(len(CHANNELS)))

    def to_codes(self, values: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.uint16], int]:
        """Values of a file as codes of a packed cohort, and how many had to be limited.

        A packed cohort has one scale, so that attenuation, R images and losses mean the same everywhere.
        """
        values = values[..., self.order]
        if self.as_stored and int(values.max()) <= MAXIMUM_CODE:
            return values.astype(np.uint16), 0
        attenuation = (values.astype(np.float64) - self.offset_counts) / self.gain_counts_per_neper
        codes = np.rint(OFFSET_COUNTS + GAIN_COUNTS_PER_NEPER * attenuation)
        limited = int(np.count_nonzero((codes < 0) | (codes > MAXIMUM_CODE)))
        return np.clip(codes, 0, MAXIMUM_CODE).astype(np.uint16), limited


class MeshDeclaration(Strict):
    """Unit of the meshes; x points to the subject's left, y to the back, z to the head."""

    unit: Literal["mm", "cm", "m"]

    @property
    def centimetres(self) -> float:
        """Centimetres per unit."""
        return {"mm": 0.1, "cm": 1.0, "m": 100.0}[self.unit]


class SplitDeclaration(Strict):
    """How patients are divided where the table has no column ``split``."""

    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _accept_lists(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("fractions"), list):
            return {**data, "fractions": tuple(data["fractions"])}
        return data

    @model_validator(mode="after")
    def _whole(self) -> SplitDeclaration:
        if min(self.fractions) <= 0 or abs(sum(self.fractions) - 1.0) > 1e-9:
            raise ValueError(f"fractions must be positive and sum to 1, not {list(self.fractions)}")
        return self


class Declaration(Strict):
    """``cohort.toml``.

    Parameters
    ----------
    title
        What reports call the cohort.
    simulated
        Whether the scans are simulated; every record and page says so.
    scanner, meshes, split
        The tables of the file.
    """

    title: str = Field(min_length=1, max_length=200)
    simulated: bool = False
    scanner: ScannerDeclaration
    meshes: MeshDeclaration | None = None
    split: SplitDeclaration = SplitDeclaration()


def read_declaration(folder: Path, findings: Findings) -> Declaration | None:
    """Read ``cohort.toml``; every defect is noted, and None returned if there is one."""
    path = folder / DECLARATION_NAME
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        findings.add(DECLARATION_NAME, "is missing: it declares what scans do not say", _MEND)
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        findings.add(DECLARATION_NAME, f"cannot be read ({error})", _MEND)
        return None
    try:
        return Declaration.model_validate(record)
    except ValidationError as error:
        for problem in error.errors():
            key = ".".join(map(str, problem["loc"]))
            found = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(
                problem["type"], problem["msg"].removeprefix("Value error, ")
            )
            value = "" if problem["type"] in {"missing", "value_error"} else problem["input"]
            findings.add(DECLARATION_NAME, found, _MEND, column=key, value=value)
        return None
