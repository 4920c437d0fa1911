"""Results on disk: one folder per finished trial, renamed into place when complete, compacted into tables.

The layout is documented in `docs/records.md`. A trial folder that exists is complete, so it is the proof
that a trial is done, whatever the journal says.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import PARTIAL, canonical_json, digest_of, write_atomically
from harness.journal import History
from harness.outcome import Outcome
from registry.contracts import DataError

if TYPE_CHECKING:
    import polars

SCHEMA = 1

#: Columns of the tables, in order: name to polars type.
TABLES: dict[str, dict[str, str]] = {
    "trials": {
        "key": "String",
        "stage": "String",
        "strategy": "String",
        "baseline": "String",
        "task": "String",
        "protocols": "List",
        "draw": "Int64",
        "seed": "Int64",
        "pretraining_seed": "Int64",
        "status": "String",
        "error": "String",
        "hyperparameters": "String",
        "validation_score": "Float64",
        "validation": "String",
        "started": "String",
        "finished": "String",
        "wall_seconds": "Float64",
        "cpu_seconds": "Float64",
        "peak_memory_bytes": "Int64",
        "device": "String",
        "threads": "Int64",
        "cached": "Boolean",
        "artifact": "String",
        "label_fraction": "Float64",
        "label_draw": "Int64",
        "split": "Int64",
        "pruned_at": "Float64",
    },
    "predictions": {
        "key": "String",
        "patient": "String",
        "scan": "String",
        "measure": "String",
        "target": "Float64",
        "prediction": "Float64",
        "fallback": "Float64",
    },
    "scores": {
        "key": "String",
        "patient": "String",
        "scan": "String",
        "metric": "String",
        "value": "Float64",
    },
    "curves": {"key": "String", "step": "Int64", "name": "String", "value": "Float64"},
    "search": {
        "task": "String",
        "strategy": "String",
        "protocols": "List",
        "label_fraction": "Float64",
        "label_draw": "Int64",
        "split": "Int64",
        "weights": "String",
        "method": "String",
        "budget_draws": "Int64",
        "budget_seconds": "Float64",
        "draws": "Int64",
        "done": "Int64",
        "failed": "Int64",
        "pruned": "Int64",
        "blocked": "Int64",
        "seconds": "Float64",
        "full_trials": "Float64",
        "boundary": "List",
    },
    "selections": {
        "task": "String",
        "protocol": "String",
        "strategy": "String",
        "draw": "Int64",
        "validation_score": "Float64",
        "mean_rank": "Float64",
        "hyperparameters": "String",
        "reason": "String",
        "label_fraction": "Float64",
        "label_draw": "Int64",
        "split": "Int64",
        "boundary": "List",
    },
}


@dataclass(frozen=True)
class RunFolder:
    """Where everything of a run lies."""

    root: Path

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.root / "journal.jsonl"

    @property
    def scratch(self) -> Path:
        """Checkpoints and signs of life of running trials; empty when nothing runs."""
        return self.root / "scratch"

    @property
    def logs(self) -> Path:
        """What trials print."""
        return self.root / "logs"

    def log(self, key: str) -> Path:
        """What a trial printed in a worker, one attempt after another."""
        return self.logs / f"{key}.log"

    def last_words(self, key: str) -> Path:
        """The stacks of a worker that was ended because its trial ignored the time limit."""
        return self.scratch / f"{key}.stacks"

    def trial(self, key: str) -> Path:
        """The folder of a finished trial."""
        return self.root / "trials" / key

    def table(self, name: str) -> Path:
        """The file of a compacted table."""
        return self.root / "results" / f"{name}.parquet"

    def outcome(self, key: str) -> Outcome:
        """What became of a finished trial, from its folder."""
        return outcome_of(read_result(self.trial(key)))

    def test_openings(self, key: str) -> int:
        """How often a finished trial opened the test split."""
        return int(read_result(self.trial(key))["test_openings"])

    def finished_keys(self) -> set[str]:
        """Keys of all finished trials."""
        return finished_keys(self.root / "trials")

    def clear_partial(self) -> None:
        """Remove what interrupted writes left behind; only for the process that holds the journal."""
        for folder in (self.root, self.root / "trials", self.root / "results"):
            for path in folder.glob(f".*{PARTIAL}"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def finished_outcomes(self, history: History, *, without: Set[str] = frozenset()) -> dict[str, Outcome]:
        """What became of every finished trial: from the journal where it says so, else from its folder.

        One pass over the journal and one listing of the folder; only results that the journal missed (the
        driver died between a trial's end and its line) are opened.

        Parameters
        ----------
        without
            Keys that do not count.
        """
        keys = self.finished_keys() - without
        journaled = {entry["key"]: outcome_of(entry) for entry in history.of("finished")}
        return {key: journaled[key] if key in journaled else self.outcome(key) for key in keys}


def finished_keys(folder: Path) -> set[str]:
    """Names of the complete trial folders in `folder`."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.name.startswith(".")}
    except FileNotFoundError:
        return set()


def result_files(
    result: Mapping[str, Any],
    tables: Mapping[str, polars.DataFrame],
    others: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The files of a trial folder: a parquet file per table that has rows, `others`, and `result.json`.

    `result.json` holds the SHA-256 of every other file.
    """
    files = dict(others or {})
    for name, frame in tables.items():
        if frame.height:
            buffer = io.BytesIO()
            frame.write_parquet(buffer)
            files[f"{name}.parquet"] = buffer.getvalue()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {"result.json": result_text({**result, "files": digests}), **files}


def result_text(result: Mapping[str, Any]) -> bytes:
    """The content of a `result.json`, with the SHA-256 of all the rest of it."""
    rest = {key: value for key, value in result.items() if key != "sha256"}
    return (canonical_json({**rest, "sha256": digest_of(rest)}) + "\n").encode()


def read_result(folder: Path) -> dict[str, Any]:
    """The `result.json` of a trial folder.

    Raises
    ------
    DataError
        If it is missing or cannot be read; names the file.
    """
    path = folder / "result.json"
    try:
        result: dict[str, Any] = json.loads(path.read_bytes())
        if result["key"] != folder.name:
            raise ValueError(f"it is the result of trial {result['key']}")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"result {path} cannot be read: {error}",
            mend="give the same command again: the trial is repeated",
        ) from error
    return result


def outcome_of(result: Mapping[str, Any]) -> Outcome:
    """What the policy needs to know of a result, or of the journal's line about it."""
    return Outcome(
        "done",
        result.get("validation_score"),
        result.get("artifact"),
        wall_seconds=result.get("wall_seconds") or 0.0,
        pruned_at=result.get("pruned_at"),
        interim_score=result.get("interim_score"),
    )


def table(name: str, rows: Iterable[Mapping[str, Any]]) -> polars.DataFrame:
    """Rows as a frame with the documented columns of the table `name`."""
    import polars as pl  # noqa: PLC0415 - planning needs no polars

    kinds = {kind: getattr(pl, kind) for kind in ("String", "Int64", "Float64", "Boolean")}
    kinds["List"] = pl.List(pl.String)
    schema = {column: kinds[kind] for column, kind in TABLES[name].items()}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def compact(
    run: RunFolder,
    rows: list[dict[str, Any]],
    selections: Iterable[Mapping[str, Any]],
    searches: Iterable[Mapping[str, Any]] = (),
) -> None:
    """Gather the trial folders named by `rows` into the tables under `results/`.

    Parameters
    ----------
    rows
        The rows of `trials.parquet`, failed and blocked ones too.
    selections
        The rows of `selections.parquet`.
    searches
        The rows of `search.parquet`.
    """
    import polars as pl  # noqa: PLC0415

    _write_table(run, "trials", table("trials", rows))
    _write_table(run, "selections", table("selections", selections))
    _write_table(run, "search", table("search", searches))
    done = [run.trial(row["key"]) for row in rows if row["status"] == "done"]
    for name in ("predictions", "scores", "curves"):
        files = [path for folder in done if (path := folder / f"{name}.parquet").is_file()]
        frames = [table(name, [])]
        for path in files:
            try:
                frames.append(pl.read_parquet(path))
            except (OSError, pl.exceptions.PolarsError) as error:
                raise DataError(
                    f"table {path} cannot be read: {error}",
                    mend="give the same command again: the trial is repeated",
                ) from error
        # trials of an earlier version may lack a column that was added since
        _write_table(run, name, pl.concat([table(name, ()), *frames], how="diagonal"))


def _write_table(run: RunFolder, name: str, frame: polars.DataFrame) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata={"schema": str(SCHEMA)})
    write_atomically(run.table(name), buffer.getvalue())
