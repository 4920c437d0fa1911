"""What a suite's own choices take away stands among the warnings of its report."""

from __future__ import annotations

import json
from pathlib import Path

from reports.answer import warnings
from reports.frame import read_run
from tests.reports.records import Records


def test_caveats_of_the_suite_are_warnings_of_the_report(tmp_path: Path) -> None:
    folder = Records(patients=12, exhibits=False).write(tmp_path / "run")
    plain = warnings(read_run(folder), [], [])
    described = json.loads((folder / "run.json").read_text())
    described["caveats"] = ["Tuning started from weights that are judged too."]
    (folder / "run.json").write_text(json.dumps(described))
    assert warnings(read_run(folder), [], []) == [*plain, "Tuning started from weights that are judged too."]
