"""The specification is strict, and its fingerprint changes with everything that changes the data."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from registry.contracts import InputError
from registry.dxa.cohort import specification as module
from registry.dxa.cohort.specification import CohortSpecification, PartSpecification

COUNTS = {"train": 8, "validation": 2, "test": 2}
GOOD = {"seed": 1, "pretraining": COUNTS, "paired": {"scans": 50}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 2}, "unknown key 'sed'"),
        ({"pretraining": {**COUNTS, "tset": 1}}, "unknown key 'pretraining.tset'"),
        ({"pose": {"arm": 1.0}}, "unknown key 'pose.arm'"),
        ({"seed": -1}, "'seed'"),
        ({"seed": "1"}, "'seed'"),
        ({"kind": "real"}, "'kind'"),
        ({"pretraining": {"train": 3}}, "give train, validation and test"),
        ({"pretraining": {**COUNTS, "scans": 20}}, "not both"),
        ({"paired": {"scans": 50, "fractions": [0.5, 0.5, 0.5]}}, "sum to 1"),
        ({"age_years": [40, 20]}, "age_years must rise"),
        ({"second_visit_share": 0.9}, "'second_visit_share'"),
        ({"scanner": {"mode": "stereo"}}, "'scanner.mode'"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        CohortSpecification.read({**GOOD, **change}, "cohort.toml")
    assert message in str(caught.value)
    assert "cohort.toml" in str(caught.value)


def test_missing_keys_are_named() -> None:
    with pytest.raises(InputError, match="missing key 'seed'"):
        CohortSpecification.read({"pretraining": COUNTS, "paired": COUNTS}, "cohort.toml")


def test_an_option_at_its_default_leaves_the_fingerprint_alone() -> None:
    plain = CohortSpecification.read(GOOD, "test")
    said = CohortSpecification.read({**GOOD, "scanner": {"averaging": "density"}}, "test")
    other = CohortSpecification.read({**GOOD, "scanner": {"averaging": "intensity"}}, "test")
    assert plain.fingerprint() == said.fingerprint() != other.fingerprint()
    with pytest.raises(InputError, match=r"'scanner\.averaging'"):
        CohortSpecification.read({**GOOD, "scanner": {"averaging": "counts"}}, "test")


def test_counts_and_fractions() -> None:
    assert PartSpecification(scans=100).counts() == {"train": 80, "validation": 10, "test": 10}
    assert PartSpecification(scans=100, fractions=(0.5, 0.2, 0.3)).counts() == {
        "train": 50,
        "validation": 20,
        "test": 30,
    }
    assert PartSpecification(**COUNTS).total == 12


def test_it_cannot_be_changed() -> None:
    specification = CohortSpecification.read(GOOD, "test")
    with pytest.raises(ValidationError):
        specification.seed = 2


def test_the_fingerprint_follows_everything_that_changes_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    first = CohortSpecification.read(GOOD, "test")
    assert first.fingerprint() == CohortSpecification.read(dict(reversed(GOOD.items())), "test").fingerprint()
    prints = {first.fingerprint()}
    for change in ({"seed": 2}, {"pretraining": {**COUNTS, "train": 9}}, {"scanner": {"photons": 3e5}}):
        prints.add(CohortSpecification.read({**GOOD, **change}, "test").fingerprint())
    monkeypatch.setattr(module, "GENERATOR_VERSION", 10_000)
    prints.add(first.fingerprint())
    assert len(prints) == 5
    assert all(len(value) == 64 for value in prints)


def test_it_survives_json() -> None:
    specification = CohortSpecification.read(GOOD, "test")
    again = CohortSpecification.model_validate(specification.model_dump(mode="json"))
    assert again == specification
