"""A whole domain in one file: scikit-learn's handwritten digits. Small enough to copy from.

Three ways to get features out of 8 x 8 images (principal components, a random projection, the pixels
themselves) are compared on two tasks: measuring a digit's ink from few labels, and drawing the image again.
Ten images make a patient, so that splits are by patient here too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from registry.catalog import unknown_name
from registry.contracts import (
    Artifact,
    CohortProgress,
    CohortReference,
    DataError,
    Domain,
    Exhibit,
    FittedModel,
    InputError,
    Panel,
    Predictions,
    PrimaryEndpoint,
    Probe,
    Row,
    Space,
    SplitSize,
    Statistic,
    Strategy,
    TableLayout,
    Task,
    TrialContext,
    loguniform,
    strategy,
    task,
)

SPLITS = ("train", "validation", "test")
COHORT_DEFAULTS = {"patients": 60, "split_seed": 0, "noise": 0.0, "split": 0}
SETTINGS_DEFAULTS = {"features": 12}


# The data -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """One split of one part: images (n, 8, 8) from 0 to 1, with their keys.

    `measured` are the images whose measures are the labels: the same, unless labels are shuffled.
    """

    images: np.ndarray
    patients: np.ndarray
    scans: np.ndarray
    measured: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """(n, 64)."""
        return self.images.reshape(len(self.images), -1)


class Digits(Domain):
    """Handwritten digits; with `noise` in the `[cohort]` table they count as simulated."""

    name = "digits"
    title = "Handwritten digits"
    probes: ClassVar = {
        "ridge": Probe("mean r² of a ridge probe", "max", frozenset({"encoder"}), "From all train labels."),
        "redrawn": Probe("PSNR of redrawn images", "max", frozenset({"encoder", "generator"})),
    }
    parts: ClassVar = {"unlabelled": "images to pretrain on", "labelled": "images with measures"}

    def check_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return _with_defaults(settings, SETTINGS_DEFAULTS, "settings")

    def tiny_suite(self) -> Mapping[str, Any]:
        return {
            "strategies": ["principal_components", "random_projection"],
            "tasks": ["stroke", "redrawing"],
            "cohort": {"patients": 20},
            "settings": {"features": 4},
        }

    def cohort(self, declaration: Mapping[str, Any], cache: Path) -> CohortReference:
        declared = _with_defaults(declaration, COHORT_DEFAULTS, "cohort")
        told = {key: value for key, value in declared.items() if key != "split" or value}
        fingerprint = hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest()
        return CohortReference(
            fingerprint=fingerprint,
            folder=cache / "cohorts" / f"digits-{fingerprint[:16]}",
            simulated=declared["noise"] > 0,
            description=f"{declared['patients']} patients of ten digits each, noise {declared['noise']}.",
        )

    def prepare(
        self, declaration: Mapping[str, Any], cache: Path, *, workers: int, progress: CohortProgress
    ) -> dict[str, dict[str, SplitSize]]:
        declared = _with_defaults(declaration, COHORT_DEFAULTS, "cohort")
        folder = self.cohort(declaration, cache).folder
        folder.mkdir(parents=True, exist_ok=True)
        sizes: dict[str, dict[str, SplitSize]] = {}
        owner: dict[str, str] = {}
        for number, part in enumerate(self.parts):
            sizes[part] = {}
            for split in SPLITS:
                path = folder / f"{part}-{split}.npz"
                if not path.exists():
                    _write(path, _make(declared, number, split))
                data = self.open_split(folder, part, split)
                sizes[part][split] = SplitSize(len(set(data.patients)), len(data.scans))
                for patient in set(data.patients):
                    if owner.setdefault(patient, split) != split:
                        raise DataError(
                            f"{path}: patient {str(patient)!r} is in splits {owner[patient]!r} and {split!r}",
                            mend=f"keep each patient in one split, or delete {folder}: it is made anew",
                        )
                progress(3 * number + SPLITS.index(split) + 1, 6, f"{part} {split}")
        return sizes

    def probe(self, name: str, context: TrialContext, artifact: Artifact) -> float:
        """`ridge`: mean r² of the measures; `redrawn`: PSNR in dB; both on the validation split."""
        if name == "redrawn":
            return Redrawing().fit(context, artifact).validation["psnr"]
        train, validation = (context.open_split("labelled", split) for split in ("train", "validation"))
        encoder = artifact.parts["encoder"]
        features, judged = (
            np.column_stack([(one.pixels - encoder["mean"]) @ encoder["weight"], np.ones(len(one.images))])
            for one in (train, validation)
        )
        targets, wanted = (Stroke._targets(one.images) for one in (train, validation))
        gram = features.T @ features + np.eye(features.shape[1])
        predicted = judged @ np.linalg.solve(gram, features.T @ targets)
        return float(np.mean([_r2(t, p) for t, p in zip(wanted.T, predicted.T, strict=True)]))

    def open_split(self, folder: Path, part: str, split: str) -> Split:
        path = folder / f"{part}-{split}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                images = arrays["images"]
                return Split(images, arrays["patients"], arrays["scans"], images)
        except Exception as error:
            raise DataError(
                f"{path} cannot be read: {error}", mend=f"delete {folder} to make the cohort anew"
            ) from error

    def with_patients(self, view: Split, patients: Set[str]) -> Split:
        kept = np.isin(view.patients, sorted(patients))
        return Split(*(getattr(view, field.name)[kept] for field in fields(view)))

    def with_labels_of(self, view: Split, order: Sequence[int]) -> Split:
        return replace(view, measured=view.measured[order])


def _make(declared: Mapping[str, Any], part: int, split: str) -> dict[str, np.ndarray]:
    """The arrays of one split: 60 % train, 20 % validation, 20 % test of the part's patients."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - planning reads no data

    images = load_digits().images / 16.0
    patients = np.arange(part, 2 * declared["patients"], 2)  # every other patient belongs to the other part
    seed = [declared["split_seed"], declared["split"]] if declared["split"] else declared["split_seed"]
    patients = np.random.default_rng(seed).permutation(patients)
    first, second = int(0.6 * len(patients)), int(0.8 * len(patients))
    chosen = dict(zip(SPLITS, np.split(patients, [first, second]), strict=True))[split]
    index = np.sort((chosen[:, None] * 10 + np.arange(10)).ravel() % len(images))
    noise = np.random.default_rng([declared["split_seed"], part, SPLITS.index(split)])
    return {
        "images": images[index] + declared["noise"] * noise.standard_normal((len(index), 8, 8)),
        "patients": np.array([f"writer-{i // 10:03d}" for i in index]),
        "scans": np.array([f"digit-{i:04d}" for i in index]),
    }


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(partial, **arrays)
    partial.replace(path)


def _with_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any], table: str) -> dict[str, Any]:
    for key, value in given.items():
        if key not in defaults:
            hint = unknown_name("key", key, defaults)
            raise InputError(f"suite: key '{table}.{key}' is not known", mend=hint.mend)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InputError(f"suite: {table}.{key} = {value!r} is no number", mend="give a number")
    return {**defaults, **given}


# Ways to pretrain: all end in an encoder, pixels -> features ----------------------------------------


@strategy(
    "principal_components",
    title="Principal components",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="digits",
    factors={"whiten": False},
    seeded=False,
    summary="The directions of largest variance of the unlabelled images.",
)
class PrincipalComponents(Strategy):
    def pretrain(self, context: TrialContext) -> Artifact:
        pixels = context.open_split("unlabelled", "train").pixels
        mean = pixels.mean(axis=0)
        _, singular, rows = np.linalg.svd(pixels - mean, full_matrices=False)
        features = min(context.settings["features"], len(rows))
        scale = singular[:features] / np.sqrt(len(pixels)) if context.factors["whiten"] else np.ones(features)
        context.report(1, 1, explained=float((singular[:features] ** 2).sum() / (singular**2).sum()))
        return Artifact(
            {
                "encoder": {"mean": mean, "weight": rows[:features].T / scale},
                "generator": {"mean": mean, "weight": rows[:features] * scale[:, None]},
            }
        )


@strategy(
    "whitened_components",
    title="Whitened components",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="digits",
    changes={"whiten": True},
    seeded=False,
    summary="Principal components at unit variance.",
)
class WhitenedComponents(PrincipalComponents):
    pass


@strategy(
    "random_projection",
    title="Random projection",
    provides={"encoder"},
    domain="digits",
    needs_data=False,
    summary="Features that know nothing of digits.",
)
class RandomProjection(Strategy):
    def pretrain(self, context: TrialContext) -> Artifact:
        generator = np.random.default_rng(context.seed)
        weight = generator.standard_normal((64, context.settings["features"])) / 8
        return Artifact({"encoder": {"mean": np.zeros(64), "weight": weight}})


# What the features are good for ---------------------------------------------------------------------

MEASURES = {"ink": "Ink", "height": "Height of the stroke", "width": "Width of the stroke"}


def measures(images: np.ndarray) -> dict[str, np.ndarray]:
    """Total ink, and its spread along rows and columns in pixels."""
    images = np.clip(images, 0, None)
    ink = images.sum(axis=(1, 2))
    place = np.arange(8)
    spread = {}
    for name, axis in (("height", 2), ("width", 1)):
        profile = images.sum(axis=axis) / ink[:, None]
        centre = (profile * place).sum(axis=1)
        spread[name] = np.sqrt((profile * (place - centre[:, None]) ** 2).sum(axis=1))
    return {"ink": ink, **spread}


def _r2(target: np.ndarray, prediction: np.ndarray) -> float:
    return float(1 - ((target - prediction) ** 2).sum() / ((target - target.mean()) ** 2).sum())


@task(
    "stroke",
    title="Measuring a stroke",
    needs={"encoder"},
    domain="digits",
    part="labelled",
    primary=PrimaryEndpoint("mean_r2", "mean r²", "max", "r2", tuple(MEASURES)),
    baselines=("mean",),
    summary="Ridge regression from features to three measures, from a random half of the labels.",
)
class Stroke(Task):
    space = Space(penalty=loguniform(1e-3, 1e2, default=1.0))

    def fit(self, context: TrialContext, artifact: Artifact) -> FittedModel:
        train = context.open_split("labelled", "train")
        chosen = np.random.default_rng(context.seed).permutation(len(train.images))[: len(train.images) // 2]
        features = self._features(artifact, train.pixels)[chosen]
        targets = self._targets(train.measured)[chosen]
        gram = features.T @ features + context.hyperparameters["penalty"] * np.eye(features.shape[1])
        state = (artifact, np.linalg.solve(gram, features.T @ targets))
        context.report(1, 1, train_error=float(((features @ state[1] - targets) ** 2).mean()))
        return self._scored(context, state)

    def predict(self, context: TrialContext, model: FittedModel, split: Split) -> Predictions:
        artifact, weights = model.state
        predicted = self._features(artifact, split.pixels) @ weights
        return self._predictions(split, predicted)

    def fit_baseline(self, name: str, context: TrialContext) -> FittedModel:
        mean = self._targets(context.open_split("labelled", "train").measured).mean(axis=0)
        validation = self._targets(context.open_split("labelled", "validation").measured)
        scores = [_r2(target, value) for target, value in zip(validation.T, mean, strict=True)]
        return FittedModel(mean, {"mean_r2": float(np.mean(scores))})

    def predict_baseline(
        self, name: str, context: TrialContext, model: FittedModel, split: Split
    ) -> Predictions:
        return self._predictions(split, np.tile(model.state, (len(split.images), 1)))

    def keep(self, context: TrialContext, model: FittedModel) -> Artifact:
        artifact, weights = model.state
        return Artifact(
            {"head": {"weights": weights}, "encoder": artifact.parts["encoder"]}, {"measures": list(MEASURES)}
        )

    def restore(self, context: TrialContext, kept: Artifact) -> FittedModel:
        return FittedModel((kept, kept.parts["head"]["weights"]), {})

    def layouts(self) -> Sequence[TableLayout]:
        rows = tuple(Row(key, label, unit="px" if key != "ink" else "") for key, label in MEASURES.items())
        statistics = (Statistic("r2", "r²", "max"), Statistic("rmse", "RMSE", "min", 3))
        return (TableLayout("stroke", "Measures of the stroke", "predictions", rows, statistics),)

    def _scored(self, context: TrialContext, state: Any) -> FittedModel:
        validation = context.open_split("labelled", "validation")
        artifact, weights = state
        targets = self._targets(validation.measured)
        predicted = self._features(artifact, validation.pixels) @ weights
        score = np.mean([_r2(t, p) for t, p in zip(targets.T, predicted.T, strict=True)])
        return FittedModel(state, {"mean_r2": float(score)})

    @staticmethod
    def _features(artifact: Artifact, pixels: np.ndarray) -> np.ndarray:
        encoder = artifact.parts["encoder"]
        return np.column_stack([(pixels - encoder["mean"]) @ encoder["weight"], np.ones(len(pixels))])

    @staticmethod
    def _targets(images: np.ndarray) -> np.ndarray:
        return np.column_stack(list(measures(images).values()))

    def _predictions(self, split: Split, predicted: np.ndarray) -> Predictions:
        return Predictions(
            list(split.patients),
            list(split.scans),
            targets=measures(split.measured),
            predictions=dict(zip(MEASURES, predicted.T, strict=True)),
        )


@task(
    "redrawing",
    title="Drawing the image again",
    needs={"encoder", "generator"},
    needs_joint_training=True,
    domain="digits",
    part="labelled",
    primary=PrimaryEndpoint("psnr", "PSNR (dB)", "max", "mean", ("psnr",)),
    trains=False,
    uses_labels=False,
    baselines=("mean_image",),
    summary="Encode, generate, compare; nothing is fitted.",
)
class Redrawing(Task):
    def fit(self, context: TrialContext, artifact: Artifact) -> FittedModel:
        return self._scored(context, artifact)

    def predict(self, context: TrialContext, model: FittedModel, split: Split) -> Predictions:
        return self._scores(split, self._redraw(model.state, split))

    def fit_baseline(self, name: str, context: TrialContext) -> FittedModel:
        return self._scored(context, context.open_split("labelled", "train").images.mean(axis=0))

    def layouts(self) -> Sequence[TableLayout]:
        rows = (Row("psnr", "PSNR", unit="dB", direction="max"), Row("mae", "Mean error", direction="min"))
        statistic = Statistic("mean", "mean", None)
        return (TableLayout("redrawing", "Fidelity", "scores", rows, (statistic,), "data range 0 to 1"),)

    def exhibits(self, context: TrialContext, model: FittedModel, split: Split) -> Sequence[Exhibit]:
        redrawn = self._redraw(model.state, split)
        return [
            Exhibit(
                key=f"{split.scans[index]}",
                title=f"Digit {split.scans[index]}",
                rule="the first two test images",
                panels=(
                    Panel("image", split.images[index], "gray", "", (0.0, 1.0)),
                    Panel("redrawn", redrawn[index], "gray", "", (0.0, 1.0)),
                    Panel("error", redrawn[index] - split.images[index], "difference", "", (-1.0, 1.0)),
                ),
            )
            for index in (0, 1)
        ]

    def _scored(self, context: TrialContext, state: Any) -> FittedModel:
        validation = context.open_split("labelled", "validation")
        scores = self._scores(validation, self._redraw(state, validation)).scores
        return FittedModel(state, {name: float(values.mean()) for name, values in scores.items()})

    @staticmethod
    def _redraw(state: Any, split: Split) -> np.ndarray:
        if isinstance(state, np.ndarray):  # the baseline's one image
            return np.tile(state, (len(split.images), 1, 1))
        encoder, generator = state.parts["encoder"], state.parts["generator"]
        features = (split.pixels - encoder["mean"]) @ encoder["weight"]
        return (features @ generator["weight"] + generator["mean"]).reshape(-1, 8, 8)

    @staticmethod
    def _scores(split: Split, redrawn: np.ndarray) -> Predictions:
        error = redrawn - split.images
        return Predictions(
            list(split.patients),
            list(split.scans),
            scores={
                "psnr": -10 * np.log10((error**2).mean(axis=(1, 2))),
                "mae": np.abs(error).mean(axis=(1, 2)),
            },
        )
