"""Cheap scores of pretrained weights that mean the same whoever made them, for the search of pretraining.

The domain declares them, so torch is imported only where one is computed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from registry.contracts import Artifact, Probe, TrialContext
from registry.dxa.cohort.measures import ANTHROPOMETRY
from registry.dxa.settings import DxaSettings
from registry.dxa.tasks.linear import mean_r2
from registry.dxa.training.scans import load_measures, load_scans

#: What a domain declares of its probes; the first one is used unless a suite says otherwise.
PROBES = {
    "ridge_mean_r2": Probe(
        "mean R² of a ridge probe",
        "max",
        frozenset({"encoder"}),
        "Fifteen measures of paired scans from the frozen encoder's pooled features, R² on validation.",
    ),
    "reconstruction_nmae": Probe(
        "NMAE of reconstructed scans",
        "min",
        frozenset({"encoder", "generator"}),
        "Validation scans of the pretraining part through the autoencoder and back.",
    ),
}
_PENALTIES = np.logspace(-3, 4, 15)


def score(name: str, context: TrialContext, artifact: Artifact) -> float:
    """Score `artifact` with the probe `name`: learned on train, judged on validation."""
    return _SCORES[name](context, artifact)


def _ridge_mean_r2(context: TrialContext, artifact: Artifact) -> float:
    """Ridge from standardised features, its penalty by leaving one train scan out at a time."""
    import torch  # noqa: PLC0415
    from sklearn.linear_model import RidgeCV  # noqa: PLC0415

    from registry.dxa.training.compute import prepare  # noqa: PLC0415
    from registry.dxa.training.finetuning import LabelledScans, untrained_regressor  # noqa: PLC0415

    device = prepare(context)
    train, validation = (_labelled(context, split) for split in ("train", "validation"))
    regressor = untrained_regressor(artifact, LabelledScans(*train)).to(device).eval()

    def features(scans: NDArray[np.float32]) -> NDArray[np.float64]:
        with torch.inference_mode():
            found = [
                regressor.features(regressor.pooled(batch.to(device)))
                for batch in torch.split(torch.from_numpy(scans), 32)
            ]
        return np.asarray(torch.cat(found).double().cpu().numpy())

    ridge = RidgeCV(_PENALTIES).fit(features(train[0]), train[1])
    return mean_r2(validation[1], np.asarray(ridge.predict(features(validation[0])), np.float64))


def _reconstruction_nmae(context: TrialContext, artifact: Artifact) -> float:
    from registry.dxa.models.vae import ScanVae  # noqa: PLC0415
    from registry.dxa.strategies.start import PART  # noqa: PLC0415
    from registry.dxa.tasks.image_metrics import nmae  # noqa: PLC0415
    from registry.dxa.training.autoencoder import reconstruct  # noqa: PLC0415
    from registry.dxa.training.compute import prepare  # noqa: PLC0415

    device = prepare(context)
    true = load_scans(context.open_split(PART, "validation"), DxaSettings(**context.settings).scan_reduction)
    return float(nmae(true, reconstruct(ScanVae.from_artifact(artifact).to(device), true, device)).mean())


def _labelled(context: TrialContext, split: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    opened = context.open_split("paired", split)
    reduction = DxaSettings(**context.settings).scan_reduction
    return load_scans(opened, reduction), load_measures(opened, [measure.name for measure in ANTHROPOMETRY])


_SCORES: dict[str, Callable[[TrialContext, Artifact], float]] = {
    "ridge_mean_r2": _ridge_mean_r2,
    "reconstruction_nmae": _reconstruction_nmae,
}
