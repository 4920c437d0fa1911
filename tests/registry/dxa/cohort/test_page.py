"""The page about the cohort keeps up with the code."""

from __future__ import annotations

import re
from pathlib import Path

from registry.dxa.cohort.manifest import MANIFEST_NAME
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.store import SCANS, SUBJECT_COLUMNS, SUBJECTS, VERTICES
from registry.dxa.cohort.truth import BONE_THRESHOLD_G_CM2
from registry.dxa.imaging.channels import CHANNELS

PAGE = Path(__file__).parents[4] / "docs" / "cohort.md"


def test_the_page_names_every_option_file_and_column() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for key in set(CohortSpecification.model_fields) - {"kind"}:
        assert f"`{key}`" in page, key
    for name in (MANIFEST_NAME, SCANS, SUBJECTS, VERTICES, ", ".join(CHANNELS)):
        assert name in page
    for column in SUBJECT_COLUMNS[:8]:
        assert f"`{column}`" in page
    assert f"above {BONE_THRESHOLD_G_CM2} g/cm2" in page


def test_the_pages_example_is_a_valid_specification() -> None:
    source = re.search(r"CohortSpecification\.read\(\n(.*?)\n\)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert source is not None
    namespace: dict[str, object] = {"CohortSpecification": CohortSpecification}
    exec(f"specification = CohortSpecification.read(\n{source[1]}\n)", namespace)  # noqa: S102 - our own page
    specification = namespace["specification"]
    assert isinstance(specification, CohortSpecification)
    assert specification.paired.counts() == {"train": 200, "validation": 25, "test": 25}
