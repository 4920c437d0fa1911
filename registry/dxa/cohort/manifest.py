"""The manifest of a cohort: what is in the folder, and how to tell that it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from registry.contracts import DataError
from registry.dxa.cohort.specification import PARTS, SPLITS, CohortSpecification, describe
from registry.dxa.imaging.geometry import GRID, Grid

MANIFEST_NAME = "cohort.json"
SCHEMA_VERSION: Literal[1] = 1
_REBUILD = "delete the folder and build or import the cohort again"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Record):
    """A file's digest and size."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class SplitRecord(_Record):
    """One split of one part.

    ``saturated_values`` counts channel values that left the 14 bits, ``resampled_bodies`` the bodies that
    were drawn and given up because they were out of range or left the field, ``reposed_bodies`` the poses
    that were changed to keep a body in it; None where patients were divided anew afterwards. ``files`` are
    paths within the folder.
    """

    patients: int = Field(ge=0)
    scans: int = Field(ge=0)
    saturated_values: int | None = Field(ge=0)
    resampled_bodies: int | None = Field(ge=0)
    reposed_bodies: int | None = Field(ge=0)
    files: dict[str, FileRecord]

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileRecord]) -> dict[str, FileRecord]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
                raise ValueError(f"path '{name}' leaves the folder")
        return files


class ImportRecord(_Record):
    """Where an imported cohort comes from.

    ``declaration`` is what was declared about the scanner; ``assumptions`` are what was assumed where
    nothing was given.
    """

    title: str
    declaration: dict[str, Any]
    assumptions: tuple[str, ...] = ()


class Manifest(_Record):
    """The whole cohort; ``cohort.json``.

    ``calibration`` is the record of ``calibration.json``, a body-composition calibration for the scanner
    that made an imported cohort's scans.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["simulated", "imported"]
    simulated: bool
    fingerprint: str = Field(pattern="^[0-9a-f]{64}$")
    specification: CohortSpecification | None
    origin: ImportRecord | None = None
    calibration: FileRecord | None = None
    parts: dict[Literal["pretraining", "paired"], dict[Literal["train", "validation", "test"], SplitRecord]]

    @field_validator("origin")
    @classmethod
    def _declares_pixels(cls, origin: ImportRecord | None) -> ImportRecord | None:
        scanner = {} if origin is None else origin.declaration.get("scanner", {})
        lacking = [one.name for one in fields(Grid) if origin is not None and one.name not in scanner]
        if lacking:
            raise ValueError(f"declaration.scanner lacks {', '.join(lacking)}")
        return origin

    @field_validator("specification", mode="before")
    @classmethod
    def _specification_from_json(cls, value: Any) -> Any:
        return CohortSpecification.model_validate(value) if isinstance(value, dict) else value

    @property
    def grid(self) -> Grid:
        """The pixels of every scan: declared, or those of the simulated scanner."""
        if self.origin is None:
            return GRID
        scanner = self.origin.declaration["scanner"]
        return Grid(*(scanner[one.name] for one in fields(Grid)))

    def split(self, part: str, split: str) -> SplitRecord:
        """The record of a split.

        Raises
        ------
        DataError
            If the cohort has no such part or split.
        """
        record = self.find(part, split)
        if record is None:
            raise DataError(
                f"the cohort has no split '{split}' of part '{part}'",
                mend=f"parts are {', '.join(PARTS)}; splits are {', '.join(SPLITS)}",
            )
        return record

    def find(self, part: str, split: str) -> SplitRecord | None:
        """The record of a split, or None."""
        for part_name, splits in self.parts.items():
            for split_name, record in splits.items():
                if (part_name, split_name) == (part, split):
                    return record
        return None


def read_manifest(folder: Path) -> Manifest:
    """Read ``cohort.json`` of a folder.

    Raises
    ------
    DataError
        If it is missing, is not JSON or says what a manifest cannot say.
    """
    path = folder / MANIFEST_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: {folder} holds no finished cohort", mend=_REBUILD) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error})", mend=_REBUILD) from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema_version is {version!r}, this version reads {SCHEMA_VERSION}", mend=_REBUILD
        )
    try:
        return Manifest.model_validate(record)
    except ValidationError as error:
        raise DataError(f"{path}: {describe(error)}", mend=_REBUILD) from error


def without_test_records(folder: Path) -> bytes:
    """The manifest of a folder with neither counts nor files of its test splits, as text."""
    manifest = read_manifest(folder)
    parts = {
        part: {split: record for split, record in splits.items() if split != "test"}
        for part, splits in manifest.parts.items()
    }
    return manifest.model_copy(update={"parts": parts}).model_dump_json(indent=1).encode() + b"\n"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``cohort.json`` in one step."""
    write_atomically(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1).encode() + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to disk, then give it its name."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def file_record(path: Path) -> FileRecord:
    """Digest and size of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileRecord(sha256=digest, bytes=path.stat().st_size)


@contextmanager
def new_cohort_folder(target: Path, *, mend: str) -> Iterator[Path]:
    """A folder to fill, which becomes `target` when the block ends well.

    Raises
    ------
    DataError
        If it cannot be written; `mend` says what to do about it.
    """
    partial = target.with_name(target.name + ".partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        yield partial
        partial.replace(target)
    except OSError as error:
        raise DataError(f"the cohort could not be written to {target} ({error})", mend=mend) from error
