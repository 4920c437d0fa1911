"""Where every strategy begins: the settings, the train scans, and the networks before any training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from registry.contracts import TrialContext
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.encoder import ScanEncoder
from registry.dxa.models.initialization import calibrate_batch_statistics, start_in_linear_regime
from registry.dxa.models.vae import ScanVae
from registry.dxa.settings import DxaSettings
from registry.dxa.training.compute import prepare
from registry.dxa.training.scans import load_scans

#: The part of a cohort that strategies learn from, without labels.
PART = "pretraining"
#: How many train scans are enough to measure statistics on.
CALIBRATION_SCANS = 256


@dataclass(frozen=True)
class Start:
    """What a strategy has in hand before it does anything of its own."""

    settings: DxaSettings
    device: torch.device
    train_scans: NDArray[np.float32]
    architecture: Architecture

    @property
    def calibration_scans(self) -> torch.Tensor:
        """Scans over which statistics of an untrained encoder are measured."""
        return torch.from_numpy(self.train_scans[:CALIBRATION_SCANS])


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
    calibrate_batch_statistics(encoder, start.calibration_scans)
    return encoder


def initial_autoencoder(start: Start, seed: int) -> ScanVae:
    """The autoencoder before any training: the encoder of `initial_encoder`, a generator of the mean scan.

    Parameters
    ----------
    start, seed
        As for `initial_encoder`.
    """
    vae = ScanVae(
        start.architecture, initial_encoder(start, seed), torch.from_numpy(start.train_scans).mean(0)
    )
    vae.measure_features(start.calibration_scans)
    return vae
