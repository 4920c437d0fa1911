"""What a suite may set for the DXA domain; the same for every arm, so it can never favour one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from registry.dxa.imaging import GRID

Count = Annotated[int, Field(ge=1)]
#: Settings that change no bit of a result.
EXECUTION = ("loader_workers",)
#: Scan pixels per side that one pixel of the latent's map stands for: five doublings.
LATENT_PIXEL = 32


class DxaSettings(BaseModel):
    """The `[settings]` table of a suite.

    Parameters
    ----------
    backbone
        Name of a timm model; its weights are what a strategy hands on. The default is small, and its
        ImageNet weights come with the installation.
    scan_reduction
        Pixels that are averaged per side: 1 keeps 150 x 109, 2 makes 75 x 55.
    generator
        `small`: a linear and a convolutional path, learns within minutes; `published`: the paper's blocks.
    perceptual_network
        Name of the timm model whose ImageNet features compare scans.
    latent_size
        Numbers that a variational autoencoder keeps of a scan; the published generator sees them as a map of
        ceil(height / 32) x ceil(width / 32) pixels (10,240 = 5 x 4 x 512 at 150 x 109).
    pretraining_steps, pretraining_batch_size
        Length of a pretraining, and scans per step.
    precision
        Number format in which networks run while they are trained; sums of losses stay in single.
    compiled
        Whether autoencoders train through torch.compile: equal up to rounding, worth its minute of
        compilation where a training takes many.
    loader_workers
        Threads that augment the scans of the next steps while one is computed; no number changes. 0: none.
    finetuning_epochs, finetuning_batch_size
        Passes over the labelled train scans of a task that trains, and scans per step.
    finetuning_patience
        Epochs without a better score on validation after which fine-tuning ends; never before its last epoch
        where not given. The best epoch is kept either way.
    analysed_scans
        How many scans of a split have their body composition analysed, evenly spaced and the same for every
        arm; all where not given. An analysis takes about 0.1 s.
    composition_calibration
        Of the analyser: that of the `cohort`, or none (`raw`): R² means what it says, masses have no unit.
    mesh_backend
        What computes on meshes: `torch`, `kaolin`, or `auto` (kaolin where it is usable).
    point_encoder
        What reads a body's surface: `pointnet2` (PointNet++) or `pointnet` (with T-Nets).
    mesh_points
        Points that it reads of a surface; 0: all vertices.
    point_width
        Channels of its first layer; the others are multiples of it.
    alignment_steps
        Steps in which it learns the latents of paired scans, before scans are generated; only where an arm
        has latents.
    generation_steps, generation_batch_size
        Steps in which it is trained through the generator, and meshes per step.

    Examples
    --------
    >>> DxaSettings(scan_reduction=1).scan_size
    (150, 109)
    >>> DxaSettings().scan_size
    (75, 55)
    >>> DxaSettings(scan_reduction=1, generator="published", latent_size=10_240).latent_map
    (512, 5, 4)
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    backbone: str = "tf_efficientnet_lite0"
    scan_reduction: Annotated[int, Field(ge=1, le=6)] = 2
    generator: Literal["small", "published"] = "small"
    perceptual_network: str = "tf_efficientnet_lite0"
    latent_size: Count = 128
    pretraining_steps: Count = 480
    pretraining_batch_size: Count = 8
    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False
    loader_workers: Annotated[int, Field(ge=0)] = 0
    finetuning_epochs: Count = 8
    finetuning_batch_size: Count = 8
    finetuning_patience: Count | None = None
    analysed_scans: Annotated[int, Field(ge=2)] | None = None
    composition_calibration: Literal["cohort", "raw"] = "cohort"
    mesh_backend: Literal["auto", "kaolin", "torch"] = "auto"
    point_encoder: Literal["pointnet2", "pointnet"] = "pointnet2"
    mesh_points: Annotated[int, Field(ge=0)] = 512
    point_width: Count = 32
    alignment_steps: Annotated[int, Field(ge=0)] = 200
    generation_steps: Count = 30
    generation_batch_size: Annotated[int, Field(ge=2)] = 8

    @property
    def scan_size(self) -> tuple[int, int]:
        """Height and width of a scan after reduction, in pixels."""
        return -(-GRID.rows // self.scan_reduction), -(-GRID.columns // self.scan_reduction)

    @property
    def latent_map(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the latent as the published generator sees it."""
        return self.latent_map_of(self.scan_size)

    def latent_map_of(self, scan_size: tuple[int, int]) -> tuple[int, int, int]:
        """The same for scans of another height and width.

        Raises
        ------
        ValueError
            If the latent does not fill the published generator's map.
        """
        rows, columns = (-(-length // LATENT_PIXEL) for length in scan_size)
        pixels = rows * columns
        channels = self.latent_size // pixels
        if self.generator == "published" and (channels * pixels != self.latent_size or channels % 32):
            raise ValueError(
                f"latent_size {self.latent_size} is not a multiple of {32 * pixels}: the published generator "
                f"halves the channels of a map of {rows} x {columns} pixels five times"
            )
        return channels, rows, columns

    @model_validator(mode="after")
    def _latent_fills_its_map(self) -> Self:
        self.latent_map_of(self.scan_size)
        return self
