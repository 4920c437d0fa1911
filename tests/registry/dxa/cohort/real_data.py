"""A simulated cohort as somebody would hand in real data, for tests of what comes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars

from registry.dxa.cohort.measures import MEASURES
from registry.dxa.cohort.meshes import write_ply
from registry.dxa.cohort.specification import PARTS, SPLITS
from registry.dxa.cohort.store import open_split, split_faces

CHANNEL_TABLES = "\n".join(
    f'[[scanner.channels]]\nphase = "{phase}"\nenergy = "{energy}"'
    for phase in ("air", "bone", "tissue")
    for energy in ("high", "low")
)


DECLARATION = f"""
title = "Exported example"
simulated = true
[scanner]
rows = 150
columns = 109
row_spacing_cm = 1.30
column_spacing_cm = 0.596
bit_depth = 14
gain_counts_per_neper = 2000.0
offset_counts = 200.0
{CHANNEL_TABLES}
[meshes]
unit = "m"
"""


def write_layout(cohort: Path, folder: Path) -> Path:
    """A simulated cohort as somebody would hand in real data."""
    (folder / "scans").mkdir(parents=True)
    (folder / "meshes").mkdir()
    rows = []
    for part in PARTS:
        for split in SPLITS:
            opened = open_split(cohort, part, split)
            for number, row in enumerate(opened.subjects.iter_rows(named=True)):
                name = row["scan_id"]
                np.save(folder / "scans" / f"{name}.npy", opened.scans[number])
                record = {key: row[key] for key in ("scan_id", "patient", "age_years", "sex", "visit")}
                record |= {"path": f"scans/{name}.npy", "part": part, "split": split}
                if part == "paired":
                    write_ply(
                        folder / "meshes" / f"{name}.ply", opened.vertices[number] / 100, split_faces(opened)
                    )
                    record["mesh"] = f"meshes/{name}.ply"
                    record |= {measure: row[measure] for measure in MEASURES}
                rows.append(record)
    polars.DataFrame(rows, infer_schema_length=None).write_csv(folder / "manifest.csv")
    (folder / "cohort.toml").write_text(DECLARATION)
    return folder


def edit(study: Path, row: int, **values: object) -> None:
    """Change cells of the table; the first row of scans is row 2."""
    frame = polars.read_csv(study / "manifest.csv", infer_schema=False)
    records = frame.to_dicts()
    records[row - 2] |= {key: None if value is None else str(value) for key, value in values.items()}
    polars.DataFrame(records, infer_schema_length=None).write_csv(study / "manifest.csv")
