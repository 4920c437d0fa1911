"""The data of a finished run, opened again: counted like every opening, refused where it is other data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.files import write_json
from harness.journal import Journal
from harness.openings import openings_of
from harness.reopening import open_run
from harness.run import prepare
from registry.contracts import DataError, InputError
from tests.harness.digits_run import digits_request, journal, run_inline


def test_every_opening_of_the_test_split_is_counted(tmp_path: Path) -> None:
    request = digits_request(tmp_path, tasks=["stroke"])
    run = run_inline(request).run.root
    before = json.loads((run / "run.json").read_text())["provenance"]
    assert before["test_openings_afterwards"] == 0
    open_split = open_run(run, "to look")
    part = json.loads((run / "run.json").read_text())["tasks"][0]["part"]
    assert len(open_split(part, "train").scans)
    assert json.loads((run / "run.json").read_text())["provenance"] == before
    for count in (1, 2):
        assert len(open_split(part, "test").scans)
        after = json.loads((run / "run.json").read_text())["provenance"]
        assert after["test_openings"] == before["test_openings"] + count
        assert after["test_openings_afterwards"] == count
        assert after["test_openings_of_cohort"] == {
            "openings": before["test_openings_of_cohort"]["openings"] + count,
            "trials": before["test_openings_of_cohort"]["trials"],
            "runs": 1,
        }
    assert [entry["purpose"] for entry in journal(run) if entry["event"] == "opened"] == ["to look"] * 2
    assert openings_of(request.cache, prepare(request).cohort.fingerprint).openings == before[
        "test_openings"
    ] + len(("one", "two"))
    # the same command again repeats nothing and forgets no opening
    run_inline(request)
    again = json.loads((run / "run.json").read_text())["provenance"]
    assert (again["test_openings"], again["test_openings_afterwards"]) == (before["test_openings"] + 2, 2)


def test_a_run_that_goes_on_or_has_other_data_stays_closed(tmp_path: Path) -> None:
    run = run_inline(digits_request(tmp_path, tasks=["stroke"])).run.root
    with Journal(run / "journal.jsonl"), pytest.raises(InputError, match="in use"):
        open_run(run, "to look")
    record = json.loads((run / "run.json").read_text())
    other = {**record, "cohort": {**record["cohort"], "fingerprint": "0" * 64}}
    write_json(run / "run.json", other)
    with pytest.raises(InputError, match="was run on the cohort 000000000000"):
        open_run(run, "to look")
    (run / "run.json").write_text("[]")
    with pytest.raises(DataError, match=r"run\.json cannot be read"):
        open_run(run, "to look")
    with pytest.raises(InputError, match="no run folder"):
        open_run(tmp_path, "to look")
