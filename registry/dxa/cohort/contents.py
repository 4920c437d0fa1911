"""The files of a layout: rows of its table, and the check of every scan and mesh they name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from registry.contracts import DataError
from registry.dxa.cohort.declaration import Declaration
from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.meshes import MESH_FORMATS, read_mesh
from registry.dxa.imaging.channels import CHANNELS

# Values outside are taken for mistakes of the unit: least and most, by the unit that a name ends with.
PLAUSIBLE = {
    "cm": (5.0, 260.0),
    "m2": (0.3, 4.5),
    "l": (0.2, 350.0),
    "kg": (0.005, 350.0),
    "g_cm2": (0.2, 3.0),
}
BODY_LENGTH_CM = (40.0, 260.0)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Row:
    """One scan of the table.

    Parameters
    ----------
    file, line
        Where it stands.
    scan_id, patient, sex, visit
        As given.
    age_years
        None if it is not given.
    path, mesh
        Files; mesh is None without one.
    part, split
        Where the scan belongs; split is empty until patients are divided.
    sizes, measures
        Stature and mass, and values by the names of ``MEASURES``.
    """

    file: str
    line: int
    scan_id: str
    patient: str
    sex: str | None
    age_years: float | None
    visit: int
    path: Path
    mesh: Path | None
    part: str
    split: str
    sizes: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """Notes defects of one row of a table."""

    findings: Findings
    file: str
    line: int

    def __call__(self, column: str, value: object, problem: str, mend: str) -> None:
        """Note one."""
        self.findings.add(self.file, problem, mend, row=self.line, column=column, value=value)


def check_files(
    rows: Sequence[Row], declaration: Declaration | None, findings: Findings, progress: Progress
) -> None:
    """Read every scan and mesh once, and note what is wrong with any."""
    seen: dict[bytes, Row] = {}
    templates: dict[str, _Template] = {}
    with_meshes = {row.part for row in rows if row.mesh is not None}
    for number, row in enumerate(rows, 1):
        note = Note(findings, row.file, row.line)
        try:
            values = read_scan(row.path, declaration)
            digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()
            twin = seen.setdefault(digest, row)
            if twin is not row:
                note("path", row.path.name, f"holds the same values as row {twin.line}", "list a scan once")
        except DataError as error:
            note("path", row.path.name, error.message, error.mend)
        if row.mesh is not None:
            _check_mesh(row, row.mesh, declaration, templates, note)
        elif row.part in with_meshes:
            note("mesh", "", "is missing, while other scans of the part have one", "give all or none")
        progress(number, len(rows), "reading scans")


def read_scan(path: Path, declaration: Declaration | None) -> npt.NDArray[np.uint16]:
    """Values of a scan, memory-mapped.

    Raises
    ------
    DataError
        If it is no scan as declared; the message does not name the file.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        _refuse("file is missing", "add it, or take the row out")
    except (OSError, ValueError, EOFError) as error:
        _refuse(f"cannot be read as .npy ({error})", "write an array of numbers with numpy.save")
    if (
        not isinstance(values, np.ndarray)
        or values.ndim != 3
        or values.shape[2] != len(CHANNELS)
        or not values.size
    ):
        shape = getattr(values, "shape", "an archive")
        _refuse(f"has shape {shape}, not (rows, columns, {len(CHANNELS)})", "write one array per scan")
    if values.dtype != np.uint16:
        _refuse(f"holds {values.dtype}, not uint16", "write the raw counts as uint16")
    if declaration is not None:
        declared = (declaration.scanner.rows, declaration.scanner.columns)
        if values.shape[:2] != declared:
            pixels = " x ".join(map(str, values.shape[:2]))
            _refuse(
                f"has {pixels} pixels, {declared[0]} x {declared[1]} are declared",
                "correct the scan or the declaration",
            )
    depth = 16 if declaration is None else declaration.scanner.bit_depth
    least, most = int(values.min()), int(values.max())
    if most >= 2**depth:
        _refuse(f"has values up to {most}, beyond {depth} bits", "mask the bits that are no data")
    if least == most:
        _refuse(f"holds {most} in every pixel", "leave the empty scan out")
    return values


def _refuse(problem: str, mend: str) -> NoReturn:
    raise DataError(problem, mend=mend)


@dataclass(frozen=True)
class _Template:
    """Vertices and triangles that all meshes of a part have, and the row whose mesh came first."""

    vertices: int
    triangles: npt.NDArray[np.int64]
    row: Row


# The shape model and the point encoder compare bodies point by point.
_MEND_TEMPLATE = "fit one template to all bodies, so that vertices correspond, or leave meshes out"


def _check_mesh(
    row: Row, path: Path, declaration: Declaration | None, templates: dict[str, _Template], note: Note
) -> None:
    """Note what is wrong with a mesh; all of a part have the vertices and triangles of the first."""
    try:
        vertices, triangles = _mesh(path, declaration)
    except DataError as error:
        note("mesh", path.name, error.message, error.mend)
        return
    first = templates.setdefault(row.part, _Template(len(vertices), triangles, row))
    if len(vertices) != first.vertices:
        problem = f"has {len(vertices)} vertices, that of row {first.row.line} {first.vertices}"
        note("mesh", path.name, problem, _MEND_TEMPLATE)
    elif not np.array_equal(triangles, first.triangles):
        problem = f"joins its vertices into other triangles than that of row {first.row.line}"
        note("mesh", path.name, problem, _MEND_TEMPLATE)


def _mesh(
    path: Path, declaration: Declaration | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    if path.suffix.lower() not in MESH_FORMATS:
        _refuse("is no mesh file", f"write one of {', '.join(MESH_FORMATS)}")
    if not path.is_file():
        _refuse("file is missing", "add it, or leave the cell empty")
    try:
        vertices, triangles = read_mesh(path)
    except DataError as error:
        _refuse(f"is unreadable ({error.message})", error.mend)
    if declaration is not None and declaration.meshes is None:
        _refuse("unit of meshes is missing", "declare unit in [meshes] of cohort.toml")
    if declaration is not None and declaration.meshes is not None:
        length = float(np.ptp(vertices[:, 2])) * declaration.meshes.centimetres
        if not BODY_LENGTH_CM[0] <= length <= BODY_LENGTH_CM[1]:
            _refuse(f"is {length:.1f} cm long along z", "correct its unit; z points to the head")
    return vertices, triangles
