"""The data of a finished run, opened again for what is done with its models afterwards.

Domains' commands get :func:`open_run` from the command line: they know no engine, and every opening of the
test split is counted, whoever asks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.files import write_json
from harness.journal import Journal, check_free, read_journal
from harness.openings import openings_of, record_opening
from harness.request import read_request
from harness.results import RunFolder
from harness.run import Prepared, prepare
from registry.contracts import DataError, InputError
from registry.contracts.context import OpenSplit

#: The journal's event of an opening that no trial asked for.
EVENT = "opened"


def open_run(folder: Path, purpose: str) -> OpenSplit:
    """The door to the data that a run was made on.

    Parameters
    ----------
    folder
        Of a finished run.
    purpose
        Why; stands in the journal and in the ledger beside every opening of the test split.

    Raises
    ------
    InputError
        If there is no such run, if it still goes on, or if its suite now means other data.
    """
    request = read_request(folder)
    check_free(folder)
    recorded = _read_record(folder)["cohort"]["fingerprint"]
    prepared = prepare(request)
    if prepared.cohort.fingerprint != recorded:
        raise InputError(
            f"{folder} was run on the cohort {recorded[:12]}, its suite now declares "
            f"{prepared.cohort.fingerprint[:12]}",
            mend="use the version of this package, and the imported files, that the run was made with",
        )

    def open_split(part: str, split: str) -> Any:
        if split == "test":
            _count_opening(RunFolder(folder.resolve()), prepared, part, purpose)
        return prepared.domain.open_split(prepared.folder(0), part, split)

    return open_split


def _count_opening(run: RunFolder, prepared: Prepared, part: str, purpose: str) -> None:
    """On the ledger, in the journal and in `run.json` before it happens."""
    cache, cohort = prepared.request.cache, prepared.cohort.fingerprint
    with Journal(run.journal) as journal:
        record_opening(cache, cohort=cohort, part=part, key=None, run=run.root, purpose=purpose)
        journal.append(EVENT, part=part, purpose=purpose, test_openings=1)
        history = read_journal(run.journal)
        record = _read_record(run.root)
        record["provenance"] |= {
            "test_openings": sum(entry.get("test_openings", 0) for entry in history.events),
            "test_openings_afterwards": sum(1 for _ in history.of(EVENT)),
            "test_openings_of_cohort": vars(openings_of(cache, cohort)),
        }
        write_json(run.root / "run.json", record)


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        _ = record["cohort"]["fingerprint"], record["provenance"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read ({error!r})", mend="give the folder of a finished run, or run it again"
        ) from error
    return record
