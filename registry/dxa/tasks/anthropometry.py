"""Fifteen body measures from a scan, with few labelled scans to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from registry.contracts import (
    Artifact,
    FittedModel,
    Predictions,
    PrimaryEndpoint,
    Row,
    Space,
    Statistic,
    TableLayout,
    Task,
    TrialContext,
    choice,
    loguniform,
    task,
)
from registry.dxa.cohort.measures import ANTHROPOMETRY
from registry.dxa.settings import DxaSettings
from registry.dxa.tasks.linear import Matrix, PrincipalComponents, Ridge, mean_r2
from registry.dxa.tasks.published import SOURCE, published_values
from registry.dxa.training.scans import ScanSplit, load_measures, load_scans

if TYPE_CHECKING:
    from registry.dxa.training.finetuning import Regressor

ROWS = tuple(
    Row(measure.name, measure.location, measure.quantity.capitalize(), measure.unit)
    for measure in ANTHROPOMETRY
)
MEASURES = tuple(row.key for row in ROWS)
#: Baseline to the numbers of principal components it may use; where there are several, validation chooses.
_RIDGES = {"mean": (), "pca_ridge_16": (16,), "pca_ridge_64": (64,), "pca_ridge": (4, 8, 16, 32, 64)}
_PENALTIES = tuple(10.0**power for power in range(-3, 5))


@dataclass(frozen=True)
class _RidgeOnComponents:
    components: PrincipalComponents
    count: int
    ridge: Ridge

    def predict(self, scans: NDArray[np.float32]) -> Matrix:
        return self.ridge.predict(self.components.scores(scans, self.count))


@dataclass(frozen=True)
class _Mean:
    values: Matrix

    def predict(self, scans: NDArray[np.float32]) -> Matrix:
        return np.tile(self.values, (len(scans), 1))


@task(
    "anthropometry",
    title="Anthropometry",
    needs={"encoder"},
    domain="dxa",
    part="paired",
    version="2",
    baselines=tuple(_RIDGES),
    primary=PrimaryEndpoint(
        metric="mean_r2", label="Mean R² of 15 measures", direction="max", statistic="r2", rows=MEASURES
    ),
    summary="Girths, surface area and volumes of a body from its scan, learned from few labelled scans.",
)
class Anthropometry(Task):
    """Fine-tunes the encoder with a linear head; every arm gets the same hyperparameters to choose from."""

    space = Space(
        learning_rate=loguniform(5e-5, 2e-3, default=3e-4),
        head_rate_factor=loguniform(3.0, 30.0, default=10.0),
        layer_decay=choice((1.0, 0.8, 0.6), default=1.0),
        batch_norm=choice(("calibrated", "frozen", "trained"), default="calibrated"),
    )

    def check_data(self, settings: Mapping[str, Any], train: ScanSplit) -> None:
        """There have to be the measures of the body's surface."""
        del settings
        load_measures(train, MEASURES)

    def fit(self, context: TrialContext, artifact: Artifact) -> FittedModel:
        """Fine-tune on train; the epoch that is kept is the best one on validation."""
        from registry.dxa.training.finetuning import LabelledScans, finetune  # noqa: PLC0415

        train, validation = (LabelledScans(*_open(context, split)) for split in ("train", "validation"))
        return finetune(context, artifact, train, validation, mean_r2)

    def predict(self, context: TrialContext, model: FittedModel, split: ScanSplit) -> Predictions:
        """Predict the measures of every scan of `split`."""
        scans, targets = _load(context, split)
        predictions = model.state.predict(scans)
        return Predictions(
            patients=list(split.patients),
            scans=list(split.scan_ids),
            targets={name: targets[:, column] for column, name in enumerate(MEASURES)},
            predictions={name: predictions[:, column] for column, name in enumerate(MEASURES)},
        )

    def keep(self, context: TrialContext, model: FittedModel) -> Artifact:
        """Encoder and head."""
        from registry.dxa.models.weights import weights_of  # noqa: PLC0415

        return Artifact(parts={"model": weights_of(model.state)}, metadata=_facts(context, model.state))

    def restore(self, context: TrialContext, kept: Artifact) -> FittedModel:
        """Encoder and head."""
        return FittedModel(_regressor(context, kept), {})

    def fit_baseline(self, name: str, context: TrialContext) -> FittedModel:
        """`mean`: of train; `pca_ridge_16`, `pca_ridge_64`, `pca_ridge`: ridge on principal scores.

        Penalties are chosen on validation. Fewer train scans than components: all of them are used.
        """
        scans, targets = _open(context, "train")
        validation_scans, validation_targets = _open(context, "validation")
        candidates: list[_Mean | _RidgeOnComponents]
        if name == "mean":
            candidates = [_Mean(targets.mean(0))]
        elif name in _RIDGES:
            components = PrincipalComponents.fit(scans, max(_RIDGES[name]))
            scores, most = components.scores(scans), len(components.directions)
            candidates = [
                _RidgeOnComponents(components, count, Ridge.fit(scores[:, :count], targets, penalty))
                for count in sorted({min(count, most) for count in _RIDGES[name]})
                for penalty in _PENALTIES
            ]
        else:
            return super().fit_baseline(name, context)
        fitted = [
            FittedModel(one, {"mean_r2": mean_r2(validation_targets, one.predict(validation_scans))})
            for one in candidates
        ]
        return max(fitted, key=lambda model: model.validation["mean_r2"])

    def layouts(self) -> Sequence[TableLayout]:
        """The paper's Table 3."""
        return (
            TableLayout(
                key="anthropometry",
                title="Body measures from scans",
                source="predictions",
                rows=ROWS,
                statistics=(
                    Statistic("r2", "R²", "max"),
                    Statistic("r2_pearson", "r²", "max"),
                    Statistic("rmse", "RMSE", "min"),
                ),
                convention=(
                    "R² = 1 - SSE / SST over the test scans; r² = squared Pearson correlation; "
                    "RMSE in the unit of the row."
                ),
                margins={"r2": 0.01, "r2_pearson": 0.01},
                published=published_values("table3", statistics={"r2": "r2_pearson", "rmse": "rmse"}),
                published_source=f"{SOURCE}, Table 3",
                footnotes=(
                    "The printed R2 and RMSE cannot both be 1 - SSE / SST on one test set: in 9 of 15 rows "
                    "the standard deviation of the truth they imply differs between arms beyond rounding. "
                    "The printed R2 is therefore shown beside r², the squared Pearson correlation.",
                    "The units printed in the paper's table cannot be literal: its surface area would have a "
                    "standard deviation of about 2 cm², its total volume one of 1.8 L. Its RMSE values are "
                    "no reference.",
                    "The paper's values are of one split and one seed, without an interval; with about 111 "
                    "test subjects several of its differences are within patient noise alone.",
                ),
            ),
        )


@task(
    "anthropometry_probe",
    title="Anthropometry, linear probe",
    needs={"encoder"},
    domain="dxa",
    part="paired",
    trains=False,
    baselines=tuple(_RIDGES),
    primary=Anthropometry.card.primary,
    summary="The same measures by ridge regression on features of the untouched encoder.",
)
class AnthropometryProbe(Anthropometry):
    """What an encoder says of a body before anything is fine-tuned; the penalty is chosen on validation."""

    space = Space(batch_norm=choice(("calibrated", "frozen"), default="calibrated"))

    def check_data(self, settings: Mapping[str, Any], train: ScanSplit) -> None:
        """There have to be the measures of the body's surface."""
        del settings
        load_measures(train, MEASURES)

    def fit(self, context: TrialContext, artifact: Artifact) -> FittedModel:
        """Ridge on pooled features of the train scans."""
        from registry.dxa.training.finetuning import LabelledScans, untrained_regressor  # noqa: PLC0415
        from registry.dxa.training.probing import RidgeOnFeatures  # noqa: PLC0415

        train, validation = (LabelledScans(*_open(context, split)) for split in ("train", "validation"))
        calibrate = context.hyperparameters["batch_norm"] != "frozen"
        regressor = untrained_regressor(artifact, train, calibrate=calibrate)
        model, score = RidgeOnFeatures.fit(context, regressor, train, validation)
        return FittedModel(model, {"mean_r2": score})

    def keep(self, context: TrialContext, model: FittedModel) -> Artifact:
        """Encoder and ridge."""
        from registry.dxa.models.weights import weights_of  # noqa: PLC0415

        regressor = model.state.regressor
        return Artifact(
            parts={"model": weights_of(regressor), "ridge": vars(model.state.ridge)},
            metadata=_facts(context, regressor),
        )

    def restore(self, context: TrialContext, kept: Artifact) -> FittedModel:
        """Encoder and ridge."""
        from registry.dxa.training.probing import RidgeOnFeatures  # noqa: PLC0415

        return FittedModel(RidgeOnFeatures(_regressor(context, kept), Ridge(**kept.parts["ridge"])), {})

    def layouts(self) -> Sequence[TableLayout]:
        """The rows of Table 3; nobody published a probe."""
        (table,) = super().layouts()
        title = "Body measures from features of the untouched encoder"
        return (replace(table, key="probe", title=title, published=(), published_source="", footnotes=()),)


def _regressor(context: TrialContext, kept: Artifact) -> Regressor:
    """The regressor of a kept model."""
    import torch  # noqa: PLC0415

    from registry.dxa.models.architecture import Architecture  # noqa: PLC0415
    from registry.dxa.models.encoder import ScanEncoder  # noqa: PLC0415
    from registry.dxa.models.weights import load_weights  # noqa: PLC0415
    from registry.dxa.training.compute import prepare  # noqa: PLC0415
    from registry.dxa.training.finetuning import Regressor  # noqa: PLC0415

    unset = torch.zeros(len(kept.metadata["measures"]))
    regressor = Regressor(ScanEncoder(Architecture.of(kept)), unset, torch.ones_like(unset))
    load_weights(regressor, kept.parts["model"], what="model")
    return regressor.to(prepare(context))


def _facts(context: TrialContext, regressor: Regressor) -> dict[str, Any]:
    """What has to be known to build a regressor again."""
    return {
        "architecture": regressor.encoder.architecture.metadata(),
        "grid": asdict(context.open_split(Anthropometry.card.part, "train").grid),
        "measures": list(MEASURES),
        "settings": dict(context.settings),
    }


def _open(context: TrialContext, split: str) -> tuple[NDArray[np.float32], Matrix]:
    return _load(context, context.open_split(Anthropometry.card.part, split))


def _load(context: TrialContext, split: ScanSplit) -> tuple[NDArray[np.float32], Matrix]:
    reduction = DxaSettings(**context.settings).scan_reduction
    return load_scans(split, reduction), load_measures(split, MEASURES)
