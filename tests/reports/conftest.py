"""One run's report that many tests read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reports import build_report
from tests.reports.records import Records


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Records(patients=40).write(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def page(folder: Path) -> str:
    return build_report(folder).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def twin(folder: Path, page: str) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())
