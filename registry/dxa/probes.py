"""Scores of pretrained weights that mean the same whoever made them; they choose settings of pretraining."""

from __future__ import annotations

import numpy as np

from registry.contracts import Artifact, Probe, TrialContext

PROBES = {
    "ridge": Probe(
        label="Mean R² of a ridge probe",
        direction="max",
        needs=frozenset({"encoder"}),
        summary="Body measures by ridge regression from frozen features, on the validation split.",
    ),
    "reconstruction": Probe(
        label="Mean R² of body composition in reconstructed scans",
        direction="max",
        needs=frozenset({"encoder", "generator"}),
        summary="The primary metric of the reconstruction task, on the validation split.",
    ),
}
#: Penalties on standardised features, from nearly none to nearly all.
PENALTIES = tuple(10.0**power for power in range(-2, 5))


def probe(name: str, context: TrialContext, artifact: Artifact) -> float:
    """Score `artifact` by one of `PROBES`.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name == "ridge":
        return ridge_probe(context, artifact)
    if name == "reconstruction":
        from registry.dxa.tasks.reconstruction import Reconstruction  # noqa: PLC0415

        task = Reconstruction()
        return float(task.fit(context, artifact).validation[task.card.primary.metric])
    raise ValueError(f"domain 'dxa' has no probe {name!r}")


def ridge_probe(context: TrialContext, artifact: Artifact) -> float:
    """Mean R² of the anthropometric measures of the validation scans.

    The encoder stays as it is, but for its batch statistics, which are measured on the train scans as they
    are before fine-tuning. Its features, averaged over the feature map and standardised, are regressed on the
    measures of the paired train scans; the penalty of each measure is chosen there, by the exact
    leave-one-out error, so that the validation scans only judge.
    """
    import torch  # noqa: PLC0415 - planning reads this module
    from sklearn.linear_model import RidgeCV  # noqa: PLC0415

    from registry.dxa.models.architecture import Architecture  # noqa: PLC0415
    from registry.dxa.models.encoder import ScanEncoder  # noqa: PLC0415
    from registry.dxa.models.initialization import calibrate_batch_statistics  # noqa: PLC0415
    from registry.dxa.models.vae import load_encoder  # noqa: PLC0415
    from registry.dxa.settings import DxaSettings  # noqa: PLC0415
    from registry.dxa.tasks.anthropometry import MEASURES, Anthropometry  # noqa: PLC0415
    from registry.dxa.tasks.linear import mean_r2  # noqa: PLC0415
    from registry.dxa.training.compute import prepare  # noqa: PLC0415
    from registry.dxa.training.scans import load_measures, load_scans  # noqa: PLC0415

    device = prepare(context)
    reduction = DxaSettings(**context.settings).scan_reduction
    splits = [context.open_split(Anthropometry.card.part, name) for name in ("train", "validation")]
    scans = [torch.from_numpy(load_scans(split, reduction)) for split in splits]
    targets, wanted = (load_measures(split, MEASURES) for split in splits)
    encoder = ScanEncoder(Architecture.of(artifact))
    load_encoder(encoder, artifact)
    calibrate_batch_statistics(encoder, scans[0])
    encoder.to(device).eval()
    with torch.inference_mode():
        features, judged = (
            torch.cat([encoder(batch.to(device)).mean((2, 3)).cpu() for batch in torch.split(part, 64)])
            .numpy()
            .astype(np.float64)
            for part in scans
        )
    centre, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    ridge = RidgeCV(alphas=PENALTIES, alpha_per_target=True)
    spread = targets.std(0)
    ridge.fit((features - centre) / scale, (targets - targets.mean(0)) / spread)
    predicted = ridge.predict((judged - centre) / scale) * spread + targets.mean(0)
    return float(mean_r2(wanted, predicted))
