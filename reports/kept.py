"""Results kept beside the documentation: a run's tables in a folder small enough for a repository.

A kept folder can be checked without the run: `manifest.json` names every other file with its SHA-256, and
says which commit, command, machine and suite the numbers come from. Nothing in it is typed by hand.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import polars as pl

from reports.comparison import Comparison
from reports.contents import Contents
from reports.drawings import standalone
from reports.errors import RecordsError
from reports.evidence import SHOWN_VERSIONS, opened_by
from reports.export import (
    DIFFERENCES,
    VALUES,
    difference_rows,
    safe_name,
    to_json,
    value_rows,
    write_atomically,
)
from reports.markdown import SIMULATED, answer_lines, control_lines, extent, heading, plain, table_lines

SCHEMA = 1
MANIFEST = "manifest.json"
#: What one kept folder may hold: it is copied with every clone of a repository.
LARGEST_BYTES = 2_000_000
#: A page between these lines lists the kept folders beside it.
BEGIN, END = "<!-- kept -->", "<!-- /kept -->"
_MANIFEST_FIELDS = ("schema", "simulated", "suite", "cohort", "trials", "made", "written", "files")
#: Columns of `trials.parquet` that say what ran; hyperparameters and errors stay with the run.
_TRIAL_COLUMNS = (
    *("key", "stage", "strategy", "baseline", "task", "protocols", "draw", "seed", "pretraining_seed"),
    *("status", "validation_score", "wall_seconds", "cpu_seconds", "peak_memory_bytes", "device", "cached"),
)
_ENDPOINTS = (
    *("task", "protocol", "endpoint", "kind", "entry", "value", "low", "high", "patients", "trials"),
    *("resampled", "missing"),
)


def keep(contents: Contents, folder: Path, written: Mapping[str, str | None]) -> Path:
    """Write the tables of a run into `folder`, in the place of what was kept there before.

    Parameters
    ----------
    written
        What wrote them, for the manifest: `command`, and the `commit` of the code where it is known.

    Returns
    -------
    Path
        `index.md`, from which the others are linked.

    Raises
    ------
    RecordsError
        If `folder` holds something else than kept results, or they would be too large for a repository.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise RecordsError(f"{folder} holds something else than kept results", mend="name a new folder")
    files = dict(_files(contents))
    manifest = _manifest(contents, written)
    files["index.md"] = ("\n".join(_index_lines(contents, manifest)) + "\n").encode()
    manifest["files"] = {name: _facts(content) for name, content in sorted(files.items())}
    size = sum(map(len, files.values()))
    if size > LARGEST_BYTES:
        raise RecordsError(
            f"the tables take {size / 1e6:.1f} MB, a repository should carry at most {LARGEST_BYTES / 1e6:g}",
            mend="keep a run of fewer arms, or publish its run folder elsewhere",
        )
    if folder.exists():
        shutil.rmtree(folder)
    for name, content in files.items():
        write_atomically(folder / name, content)
    write_atomically(folder / MANIFEST, to_json(manifest))
    _renew_list(folder.parent)
    return folder / "index.md"


def check_kept(folder: Path) -> dict[str, Any]:
    """The manifest of a kept folder whose files are as it says.

    Raises
    ------
    RecordsError
        If a file is missing, changed or not named, or the manifest cannot be read.
    """
    path = folder / MANIFEST
    mend = "keep the results again: harness report RUN --keep FOLDER"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = [name for name in _MANIFEST_FIELDS if name not in manifest]
    except (OSError, ValueError, TypeError) as error:
        raise RecordsError(f"{path} cannot be read ({error})", mend=mend) from error
    if lacking or manifest["schema"] != SCHEMA:
        raise RecordsError(f"{path} is no manifest of schema {SCHEMA}: it lacks {lacking}", mend=mend)
    found = {
        one.relative_to(folder).as_posix(): one
        for one in folder.rglob("*")
        if one.is_file() and one.name != MANIFEST
    }
    if surplus := sorted(found.keys() ^ manifest["files"].keys()):
        raise RecordsError(f"{folder}: {surplus[0]} is missing, or not in the manifest", mend=mend)
    for name, one in found.items():
        if _facts(one.read_bytes()) != manifest["files"][name]:
            raise RecordsError(f"{one} is not as it was written", mend=mend)
    return manifest


def listing(folder: Path) -> str:
    """The kept folders in `folder`, as a table in Markdown that links to them."""
    manifests = {path.parent.name: check_kept(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))}
    if not manifests:
        return "None yet.\n"
    lines = ["| results | suite | trials | data | commit | finished |", "|---|---|---:|---|---|---|"]
    for name, one in manifests.items():
        cells = (
            f"[{plain(one['suite']['title'])}]({name}/index.md)",
            f"`{one['suite']['name']}`",
            f"{one['trials']['done']} of {one['trials']['all']}",
            "simulated" if one["simulated"] else "real",
            _commit(one["made"]["commit"]),
            str(one["made"]["finished"])[:10],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _renew_list(folder: Path) -> None:
    page = folder / "index.md"
    if not page.is_file():
        return
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if begin and end:
        write_atomically(page, before + begin + listing(folder) + end + after)


def _files(contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Everything but the first page and the manifest."""
    run = contents.run
    for comparison in contents.comparisons:
        lines = [f"# {heading(comparison)}", *([f"\n{SIMULATED}"] if run.simulated else [])]
        lines += table_lines(comparison, run.simulated)
        yield f"{_page(comparison)}.md", ("\n".join(lines) + "\n").encode()
    tables = [(comparison, table) for comparison in contents.comparisons for table in comparison.tables]
    values = (row for one in tables for row in value_rows(run, *one))
    yield "values.parquet", _parquet(_frame(VALUES, values))
    differences = (row for one in tables for row in difference_rows(run, *one))
    between_arms = (row for row in differences if not row["second"].startswith("baseline:"))
    yield "differences.parquet", _parquet(_frame(DIFFERENCES, between_arms))
    columns = [name for name in _TRIAL_COLUMNS if name in run.trials.columns]
    yield "trials.parquet", _parquet(run.trials.select(columns))
    yield "endpoints.csv", _endpoints(contents).encode()
    for block in contents.blocks:
        if block.endpoint:
            mark = "SIMULATED DATA. " if run.simulated else ""
            source = f"{mark}{run.meta['suite']['title']}, cohort {run.meta['cohort']['fingerprint'][:10]}"
            yield f"{safe_name(block.endpoint.key)}.svg", standalone(block.endpoint, source).encode()


def _page(comparison: Comparison) -> str:
    return safe_name(f"{comparison.task}-{'-'.join(comparison.protocols)}")


def _frame(fields: Sequence[str], rows: Iterator[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a table, in single precision: intervals have two digits that mean something."""
    records = [{field: row.get(field) for field in fields} for row in rows]
    frame = pl.DataFrame(records, schema=list(fields), orient="row", infer_schema_length=None)
    return frame.with_columns(pl.col(pl.Float64).cast(pl.Float32))


def _parquet(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.write_parquet(stream, compression="zstd", compression_level=19)
    return stream.getvalue()


def _endpoints(contents: Contents) -> str:
    """The primary endpoint of every arm and baseline under every protocol."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _ENDPOINTS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for comparison in contents.comparisons:
        line = comparison.endpoint.lines[0] if comparison.endpoint.lines else None
        for column in comparison.columns:
            cell = line.cells[column.key] if line else None
            writer.writerow(
                {
                    "task": comparison.task,
                    "protocol": "+".join(comparison.protocols),
                    "endpoint": comparison.endpoint.label,
                    "kind": "baseline" if column.baseline else "arm",
                    "entry": column.name,
                    **({"value": cell.value, "low": cell.low, "high": cell.high} if cell else {}),
                    "patients": line.patients if line else 0,
                    "trials": column.done,
                    "resampled": "patients" if column.unit == "none" else f"patients, {column.unit} seeds",
                    "missing": column.missing,
                }
            )
    return stream.getvalue()


def _manifest(contents: Contents, written: Mapping[str, str | None]) -> dict[str, Any]:
    meta, trials = contents.run.meta, contents.run.trials
    made, own = meta["provenance"], trials.filter(~pl.col("cached"))
    suite = json.dumps(meta["suite"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    status = meta["status"]
    return {
        "schema": SCHEMA,
        "simulated": contents.run.simulated,
        "suite": {
            **{name: meta["suite"].get(name, "") for name in ("name", "title", "description")},
            "sha256": hashlib.sha256(suite.encode()).hexdigest(),
        },
        "cohort": {name: meta["cohort"].get(name, "") for name in ("fingerprint", "description")},
        "trials": {
            "all": sum(status[name] for name in ("done", "failed", "blocked", "missing")),
            **{name: status[name] for name in ("done", "failed", "blocked", "missing")},
            "cached": trials.height - own.height,
            "seconds": round(float(own["wall_seconds"].fill_null(0).sum()), 1),
            "test_openings": made.get("test_openings"),
            "test_openings_afterwards": made.get("test_openings_afterwards", 0),
        },
        "made": {
            "commit": made.get("commit"),
            "command": without_places(str(made.get("command", ""))),
            "started": own["started"].drop_nulls().min() or made.get("started"),
            "finished": own["finished"].drop_nulls().max() or made.get("finished"),
            **{name: made.get(name) for name in ("processor", "platform", "device", "python", "versions")},
        },
        "resamples": contents.draws,
        "written": {**written, "command": without_places(str(written.get("command", "")))},
        "files": {},
    }


def without_places(command: str) -> str:
    """A command whose absolute paths are shortened to their names: where a machine keeps things is its own.

    Examples
    --------
    >>> without_places("/opt/bin/harness run-all --suite study --output=/home/ann/runs/study")
    'harness run-all --suite study --output=study'
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    found = []
    for word in words:
        option, equals, value = word.partition("=")
        kept = option + equals if equals and option.startswith("--") else ""
        rest = value if kept else word
        found.append(kept + (PurePath(rest).name if PurePath(rest).is_absolute() else rest))
    return shlex.join(found)


def _facts(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _commit(commit: str | None) -> str:
    """The first letters of a commit, and whether the code differed from it."""
    if not commit:
        return "not recorded"
    digest, _, rest = commit.partition(" ")
    return f"`{digest[:10]}`{' ' if rest else ''}{plain(rest)}"


def _index_lines(contents: Contents, manifest: Mapping[str, Any]) -> Iterator[str]:
    """The first page."""
    yield f"# {plain(manifest['suite']['title'])}"
    if manifest["simulated"]:
        yield f"\n{SIMULATED}"
    yield f"\n{plain(manifest['suite']['description'])}\n\n{extent(contents)}"
    yield "\n## Answer"
    for block in contents.blocks:
        yield from answer_lines(block.answer)
        if block.endpoint:
            yield f"\n![Primary endpoint: {heading(block.data)}]({safe_name(block.endpoint.key)}.svg)"
    yield from control_lines(contents, "##")
    if contents.warnings:
        yield "\n## Read with care\n"
        yield from (f"- {plain(warning)}" for warning in contents.warnings)
    yield "\n## Files\n"
    yield from (f"- [{heading(one)}]({_page(one)}.md): its tables" for one in contents.comparisons)
    yield (
        "- `endpoints.csv`: the primary endpoints. `values.parquet`: every number of every table with its "
        "interval. `differences.parquet`: every difference between arms. `trials.parquet`: what ran."
    )
    yield f"- `{MANIFEST}`: where all this comes from, with the SHA-256 of every file"
    yield "\n## Where the numbers come from\n\n| | |\n|---|---|"
    yield from (f"| {name} | {words} |" for name, words in _origin(manifest))


def _origin(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What, in words."""
    suite, cohort, trials = (manifest[name] for name in ("suite", "cohort", "trials"))
    made, written = manifest["made"], manifest["written"]
    yield "suite", f"`{suite['name']}`, SHA-256 of its resolved tables `{suite['sha256'][:16]}`"
    yield "data", f"{plain(cohort['description'])} Fingerprint `{cohort['fingerprint'][:16]}`"
    yield "commit", f"{_commit(made['commit'])}; tables of {_commit(written.get('commit'))}"
    yield "command", f"`{made['command']}`, then `{written['command']}`"
    machine = (made["processor"], made["device"], made["platform"])
    yield "machine", plain(", ".join(str(one) for one in machine if one))
    versions = {"Python": made["python"], **(made["versions"] or {})}
    named = (f"{name} {versions[name]}" for name in ("Python", *SHOWN_VERSIONS) if versions.get(name))
    yield "software", plain(", ".join(named))
    own = trials["all"] - trials["cached"]
    yield (
        "time",
        f"{trials['seconds'] / 3600:.2f} hours of computing in {own} trials, "
        f"{_minute(made['started'])} to {_minute(made['finished'])}"
        + (f"; {trials['cached']} more were there before" if trials["cached"] else ""),
    )
    afterwards = trials.get("test_openings_afterwards") or 0
    yield "test split", f"opened {trials['test_openings']} times, {opened_by(afterwards)}"


def _minute(instant: str | None) -> str:
    """An ISO 8601 instant in UTC to the minute."""
    return f"{instant[:16].replace('T', ' ')} UTC" if instant else "not recorded"
