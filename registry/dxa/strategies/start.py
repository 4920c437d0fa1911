"""Where every strategy begins: the settings, the train scans, and the encoder before any training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from registry.contracts import TrialContext
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.encoder import ScanEncoder
from registry.dxa.models.initialization import calibrate_batch_statistics, start_in_linear_regime
from registry.dxa.settings import DxaSettings
from registry.dxa.training.compute import prepare
from registry.dxa.training.scans import load_scans

#: The part of a cohort that strategies learn from, without labels.
PART = "pretraining"
#: Train scans over which an encoder's batch statistics are measured.
CALIBRATION_SCANS = 256


@dataclass(frozen=True)
class Start:
    """What a strategy has in hand before it does anything of its own."""

    settings: DxaSettings
    device: torch.device
    train_scans: NDArray[np.float32]
    architecture: Architecture


def begin(context: TrialContext) -> Start:
    """Read the settings and the train scans, and seed everything."""
    settings = DxaSettings(**context.settings)
    device = prepare(context)
    scans = load_scans(context.open_split(PART, "train"), settings.scan_reduction)
    return Start(settings, device, scans, Architecture.for_scans(settings, scans))


def initial_encoder(start: Start, seed: int) -> ScanEncoder:
    """The encoder that `random_init` hands on and every training from scratch starts from.

    Parameters
    ----------
    start
        From `begin`.
    seed
        Decides the weights: equal seeds give equal encoders, whoever asks.
    """
    torch.manual_seed(seed)
    encoder = ScanEncoder(start.architecture)
    start_in_linear_regime(encoder.backbone)
    calibrate_batch_statistics(encoder, torch.from_numpy(start.train_scans[:CALIBRATION_SCANS]))
    return encoder
