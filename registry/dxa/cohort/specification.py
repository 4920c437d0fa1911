"""What a cohort is made of: counts, seed, sources of variation and scanner, strict and with a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from registry.contracts import InputError
from registry.dxa.cohort.sources import (
    BoneVariation,
    FatVariation,
    ImplantVariation,
    OrganVariation,
    PlacementVariation,
    PoseVariation,
    ShapeVariation,
    Strict,
    TextureVariation,
)

# Raise with every change that alters the data made from an unchanged specification.
GENERATOR_VERSION = 7
DATA_FILES = (
    ("registry.dxa.cohort", "data/bodies.npz"),
    ("registry.dxa.imaging", "data/spectra.json"),
)
SPLITS = ("train", "validation", "test")
PARTS = ("pretraining", "paired")
Sex = Literal["female", "male"]


class PartSpecification(Strict):
    """How many scans a part has, and how they are split.

    Either the counts ``train``, ``validation`` and ``test``, or ``scans`` and ``fractions`` (80/10/10 unless
    given). All are scans, not patients; a patient with two visits has two.

    Examples
    --------
    >>> PartSpecification(scans=1000).counts()
    {'train': 800, 'validation': 100, 'test': 100}
    """

    train: int | None = Field(default=None, ge=1)
    validation: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)
    scans: int | None = Field(default=None, ge=10)
    fractions: tuple[float, float, float] | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_lists(cls, data: Any) -> Any:
        """TOML and JSON have arrays where Python has tuples."""
        if isinstance(data, Mapping) and isinstance(data.get("fractions"), list):
            return {**data, "fractions": tuple(data["fractions"])}
        return data

    @model_validator(mode="after")
    def _one_form(self) -> PartSpecification:
        counts = (self.train, self.validation, self.test)
        if self.scans is None:
            if self.fractions is not None or any(count is None for count in counts):
                raise ValueError("give train, validation and test, or scans with or without fractions")
        elif any(count is not None for count in counts):
            raise ValueError("give either scans or the counts train, validation and test, not both")
        if self.fractions is not None and (min(self.fractions) <= 0 or abs(sum(self.fractions) - 1.0) > 1e-9):
            raise ValueError(f"fractions must be positive and sum to 1, not {list(self.fractions)}")
        return self

    def counts(self) -> dict[str, int]:
        """Scans of each split; what rounding leaves over goes to train."""
        if self.scans is None:
            return {name: int(getattr(self, name)) for name in SPLITS}
        fractions = self.fractions or (0.8, 0.1, 0.1)
        validation, test = (max(1, round(self.scans * fraction)) for fraction in fractions[1:])
        return {"train": self.scans - validation - test, "validation": validation, "test": test}

    @property
    def total(self) -> int:
        """Scans of all splits."""
        return sum(self.counts().values())


class ScannerSettings(Strict):
    """Dose, beam and detector.

    ``photons`` are those per pixel, phase and energy in the open beam; zero means no noise. ``averaging`` is
    what a pixel averages over its area: areal density (``density``), or intensity, as real detectors do
    (``intensity``). The truth of a subject does not depend on it.
    """

    photons: float = Field(default=3e6, ge=0)
    mode: Literal["polychromatic", "monochromatic"] = "polychromatic"
    averaging: Literal["density", "intensity"] = "density"


class CohortSpecification(Strict):
    """A simulated cohort: two parts that share no patient.

    Parameters
    ----------
    kind
        Always ``simulated``; imported cohorts are not specified but packed.
    seed
        Everything random follows from it.
    pretraining, paired
        Scans for pretraining, and scans with a body surface for the tasks.
    age_years
        Youngest and oldest.
    second_visit_share
        Share of the patients of a part who come twice.
    split
        Which division of the same patients into splits; each number is another one.
    pose, placement, shape, fat, bone, organs, implants, texture
        Sources of variation (``registry.dxa.cohort.sources``).
    scanner
        Dose and beam.

    Examples
    --------
    >>> counts = {"train": 8, "validation": 2, "test": 2}
    >>> specification = CohortSpecification(seed=1, pretraining=counts, paired=counts)
    >>> specification.paired.counts()["test"]
    2
    """

    kind: Literal["simulated"] = "simulated"
    seed: int = Field(ge=0)
    pretraining: PartSpecification
    paired: PartSpecification
    age_years: tuple[float, float] = (6.0, 85.0)
    second_visit_share: float = Field(default=0.04, ge=0, le=0.5)
    split: int = Field(default=0, ge=0)
    pose: PoseVariation = PoseVariation()
    placement: PlacementVariation = PlacementVariation()
    shape: ShapeVariation = ShapeVariation()
    fat: FatVariation = FatVariation()
    bone: BoneVariation = BoneVariation()
    organs: OrganVariation = OrganVariation()
    implants: ImplantVariation = ImplantVariation()
    texture: TextureVariation = TextureVariation()
    scanner: ScannerSettings = ScannerSettings()

    @model_validator(mode="before")
    @classmethod
    def _accept_lists(cls, data: Any) -> Any:
        """TOML and JSON have arrays where Python has tuples."""
        if isinstance(data, Mapping) and isinstance(data.get("age_years"), list):
            return {**data, "age_years": tuple(data["age_years"])}
        return data

    @model_validator(mode="after")
    def _plausible_ages(self) -> CohortSpecification:
        youngest, oldest = self.age_years
        if not 6.0 <= youngest < oldest <= 85.0:
            raise ValueError(f"age_years must rise within 6 to 85, not {list(self.age_years)}")
        return self

    def part(self, name: str) -> PartSpecification:
        """The part named ``pretraining`` or ``paired``."""
        return {"pretraining": self.pretraining, "paired": self.paired}[name]

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the specification, the generator's version and its data files."""
        specification = self.model_dump(mode="json")
        # An option that came later: without it, cohorts are those that they were before.
        if self.scanner.averaging == "density":
            del specification["scanner"]["averaging"]
        record = {
            "specification": specification,
            "generator_version": GENERATOR_VERSION,
            "data": data_digests(),
        }
        return hashlib.sha256(canonical_json(record).encode()).hexdigest()

    @classmethod
    def read(cls, data: Mapping[str, Any], source: str) -> CohortSpecification:
        """Validate a mapping that a person wrote.

        Raises
        ------
        InputError
            Naming the source, each wrong key and what is allowed.
        """
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise InputError(
                f"{source}: {describe(error)}",
                mend="correct these keys; docs/cohort.md lists what a cohort has",
            ) from error


def canonical_json(record: object) -> str:
    """JSON with sorted keys and no spaces, the form that is hashed."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@cache
def data_digests() -> dict[str, str]:
    """SHA-256 of each file the generator reads."""
    return {
        name: hashlib.sha256(resources.files(package).joinpath(name).read_bytes()).hexdigest()
        for package, name in DATA_FILES
    }


def describe(error: ValidationError) -> str:
    """All defects of a record in one line, each with its place."""
    defects = []
    for defect in error.errors():
        place = ".".join(str(step) for step in defect["loc"]) or "cohort"
        if defect["type"] == "extra_forbidden":
            defects.append(f"unknown key '{place}'")
        elif defect["type"] == "missing":
            defects.append(f"missing key '{place}'")
        else:
            defects.append(f"'{place}': {defect['msg']} (got {defect['input']!r})")
    return "; ".join(defects)
