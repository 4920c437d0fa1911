"""Weights learned from photographs."""

from __future__ import annotations

from registry.contracts import Artifact, Strategy, TrialContext, strategy


@strategy(
    "imagenet",
    title="ImageNet",
    provides={"encoder"},
    domain="dxa",
    version="2",
    seeded=False,
    summary="A backbone trained to classify photographs, behind the same six-channel stem as every arm.",
    citation="Deng et al. 2009, doi:10.1109/CVPR.2009.5206848; Tan and Le 2019, arXiv 1905.11946",
    licence="Weights of EfficientNet-Lite0: Apache-2.0; other backbones: see their timm model card",
)
class ImageNet(Strategy):
    """Hands on ImageNet weights, from a file, the installation or timm's hub, and nothing in their place."""

    def pretrain(self, context: TrialContext) -> Artifact:
        """Load the weights; scans are read for the normalisation of channels alone."""
        from registry.dxa.models.encoder import ScanEncoder  # noqa: PLC0415
        from registry.dxa.models.weights import weights_of  # noqa: PLC0415
        from registry.dxa.strategies.start import begin  # noqa: PLC0415

        start = begin(context)
        encoder = ScanEncoder(start.architecture, imagenet=True)
        return Artifact(
            parts={"encoder": weights_of(encoder)},
            metadata={"architecture": start.architecture.metadata(), **encoder.origin.metadata()},
        )
