"""How well an autoencoder gives a scan back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from registry.contracts import (
    Artifact,
    DataError,
    Exhibit,
    FittedModel,
    InputError,
    Panel,
    Predictions,
    PrimaryEndpoint,
    Row,
    Statistic,
    TableLayout,
    Task,
    TrialContext,
    task,
)
from registry.dxa.imaging import CHANNELS, GRID
from registry.dxa.imaging.r_image import r_image
from registry.dxa.settings import DxaSettings
from registry.dxa.tasks.image_metrics import CONVENTION, score_scans
from registry.dxa.tasks.linear import PrincipalComponents
from registry.dxa.tasks.published import SOURCE, published_values
from registry.dxa.training.scans import ScanSplit, load_measures, load_scans

if TYPE_CHECKING:
    from registry.dxa.models.vae import ScanVae

_COMPONENT_COUNTS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
_EXHIBIT_MEASURE = "total_mass_kg"
_EXHIBIT_QUANTILES = {"light": 0.05, "median": 0.5, "heavy": 0.95}
#: Windows of the exhibits' pictures.
_ERROR_LIMIT_PERCENT = 10.0
_R_LIMITS = (1.0, 1.8)


@dataclass(frozen=True)
class _Components:
    components: PrincipalComponents
    count: int


@task(
    "reconstruction",
    title="Scan reconstruction",
    needs={"encoder", "generator"},
    needs_joint_training=True,
    domain="dxa",
    part="pretraining",
    trains=False,
    uses_labels=False,
    baselines=("mean", "pca"),
    primary=PrimaryEndpoint(
        metric="nmae",
        label="Normalised mean absolute error",
        direction="min",
        statistic="mean",
        rows=("nmae",),
    ),
    summary="Scans of new patients through the autoencoder and back.",
)
class Reconstruction(Task):
    """Scores reconstructions by the latent's mean; nothing is trained."""

    def fit(self, context: TrialContext, artifact: Artifact) -> FittedModel:
        """Build the autoencoder and score the validation split."""
        from registry.dxa.models.vae import ScanVae  # noqa: PLC0415
        from registry.dxa.training.compute import prepare  # noqa: PLC0415

        device = prepare(context)
        vae = ScanVae.from_artifact(artifact).to(device)
        return FittedModel(vae, self._validate(context, vae))

    def predict(self, context: TrialContext, model: FittedModel, split: ScanSplit) -> Predictions:
        """Score every scan of `split`."""
        true = _load(context, split)
        scores = score_scans(true, _reconstruct(context, model.state, true))
        return Predictions(patients=list(split.patients), scans=list(split.scan_ids), scores=scores)

    def fit_baseline(self, name: str, context: TrialContext) -> FittedModel:
        """`mean`: the mean train scan; `pca`: principal components, their number chosen on validation."""
        train, validation = _open(context, "train"), _open(context, "validation")
        counts = {"mean": (0,), "pca": _COMPONENT_COUNTS}.get(name)
        if counts is None:
            return super().fit_baseline(name, context)
        components = PrincipalComponents.fit(train, max(counts))
        candidates = [_Components(components, c) for c in counts if c <= len(components.directions)]
        fitted = [FittedModel(candidate, _score(candidate, validation)) for candidate in candidates]
        return min(fitted, key=lambda model: model.validation["nmae"])

    def layouts(self) -> Sequence[TableLayout]:
        """The image rows of the paper's Table 1."""
        return (
            TableLayout(
                key="image",
                title="Quality of reconstructed scans",
                source="scores",
                rows=(
                    Row("nmae", "NMAE", direction="min"),
                    Row("psnr_db", "PSNR", unit="dB", direction="max"),
                    Row("ssim", "SSIM", direction="max"),
                    Row("r_image_error", "R error", direction="min"),
                ),
                statistics=(Statistic("mean", "mean", None, decimals=3),),
                convention=CONVENTION,
                published=published_values("table1", statistics={"mean": "mean"}),
                published_source=f"{SOURCE}, Table 1",
                footnotes=(
                    "The paper does not say how its image metrics are normalised; its NMAE is about 11 times "
                    "the normalised error that its PSNR implies, so the two have different denominators. "
                    "Values of other conventions differ by up to 20 dB on the same scans.",
                    "The paper's values are of one split and one seed, without an interval.",
                ),
            ),
        )

    def exhibits(self, context: TrialContext, model: FittedModel, split: ScanSplit) -> Sequence[Exhibit]:
        """Scans at fixed quantiles of the patients' true body mass: truth, reconstruction, errors, R."""
        if not len(split.scan_ids):
            raise DataError("the split has no scans", mend="declare a cohort with scans in every split")
        true = _load(context, split)
        mass_kg = load_measures(split, [_EXHIBIT_MEASURE])[:, 0]
        order = np.argsort(mass_kg, kind="stable")
        exhibits = []
        for name, quantile in _EXHIBIT_QUANTILES.items():
            index = int(order[round(quantile * (len(order) - 1))])
            one = true[index : index + 1]
            exhibits.append(
                Exhibit(
                    key=f"mass-{name}",
                    title=f"{name.capitalize()} patient",
                    rule=f"test scan at the {quantile:.0%} quantile of true total body mass",
                    panels=_panels(one[0], _reconstruct(context, model.state, one)[0]),
                    pixel_aspect=GRID.row_spacing_cm / GRID.column_spacing_cm,
                    facts={"body mass": f"{mass_kg[index]:.1f} kg", "scan": str(split.scan_ids[index])},
                )
            )
        return exhibits

    def _validate(self, context: TrialContext, vae: ScanVae) -> Mapping[str, float]:
        true = _open(context, "validation")
        return _means(score_scans(true, _reconstruct(context, vae, true)))


def _panels(true: NDArray[np.float32], reconstructed: NDArray[np.float32]) -> tuple[Panel, ...]:
    """Pictures of one (6, height, width) scan: the first channel, its error, and R of the air phase."""
    channel = CHANNELS[0].replace("_", " ")
    limits = (float(true[0].min()), float(true[0].max()))
    error_percent = 100 * (reconstructed[0] - true[0]) / limits[1]
    return (
        Panel(f"true, {channel}", true[0], "gray", "counts", limits),
        Panel(f"reconstructed, {channel}", reconstructed[0], "gray", "counts", limits),
        Panel(
            f"error, {channel}",
            error_percent,
            "difference",
            "% of the largest true count",
            (-_ERROR_LIMIT_PERCENT, _ERROR_LIMIT_PERCENT),
        ),
        Panel("true R", r_image(true.transpose(1, 2, 0)), "map", "low / high", _R_LIMITS),
        Panel("reconstructed R", r_image(reconstructed.transpose(1, 2, 0)), "map", "low / high", _R_LIMITS),
    )


def _reconstruct(
    context: TrialContext, model: ScanVae | _Components, scans: NDArray[np.float32]
) -> NDArray[np.float32]:
    if isinstance(model, _Components):
        return model.components.reconstruct(scans, model.count)
    import torch  # noqa: PLC0415

    from registry.dxa.training.autoencoder import reconstruct  # noqa: PLC0415

    trained = model.generator.sizes[-1]
    if scans.shape[2:] != trained:
        raise InputError(
            f"the autoencoder was trained on scans of {trained} pixels, these have {scans.shape[2:]}",
            mend="use the same 'scan_reduction' for pretraining and tasks",
        )
    return reconstruct(model, scans, torch.device(context.device))


def _score(candidate: _Components, scans: NDArray[np.float32]) -> dict[str, float]:
    return _means(score_scans(scans, candidate.components.reconstruct(scans, candidate.count)))


def _means(scores: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in scores.items()}


def _open(context: TrialContext, split: str) -> NDArray[np.float32]:
    return _load(context, context.open_split(Reconstruction.card.part, split))


def _load(context: TrialContext, split: ScanSplit) -> NDArray[np.float32]:
    return load_scans(split, DxaSettings(**context.settings).scan_reduction)
