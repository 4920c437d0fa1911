"""What learning workers are given of a cohort: train and validation, nothing that knows of test records."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.learning_view import learning_view
from registry.contracts import DataError
from registry.dxa.cohort.manifest import MANIFEST_NAME, read_manifest
from registry.dxa.domain import DxaDomain


def test_the_view_of_a_cohort_opens_and_holds_no_test_record(cohort: Path, tmp_path: Path) -> None:
    domain = DxaDomain()
    whole = read_manifest(cohort)
    view = learning_view(domain, cohort, fingerprint=whole.fingerprint, cache=tmp_path)
    assert not [path for path in view.rglob("*") if "test" in path.relative_to(view).parts]
    assert "test" not in {split for splits in read_manifest(view).parts.values() for split in splits}
    known = (view / MANIFEST_NAME).read_text()
    for part, splits in whole.parts.items():
        for split in ("train", "validation"):
            opened, original = (domain.open_split(folder, part, split) for folder in (view, cohort))
            assert opened.scan_ids == original.scan_ids
            assert (opened.scans == original.scans).all()
        assert not [record.sha256 for record in splits["test"].files.values() if record.sha256 in known]
        with pytest.raises(DataError, match="has no split 'test'"):
            domain.open_split(view, part, "test")
