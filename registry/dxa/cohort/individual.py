"""What one person is like inside, drawn once and kept for all their visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from registry.dxa.cohort.bodies import Array
from registry.dxa.cohort.implants import sample_implants
from registry.dxa.cohort.phenotypes import Phenotypes
from registry.dxa.cohort.skeleton import MINERAL_SHARES, SkeletonTraits
from registry.dxa.cohort.specification import CohortSpecification

# Parts of the body whose layer of fat varies on its own, and the depot each belongs to.
FAT_SEGMENTS = {
    "upper_trunk": "trunk",
    "lower_trunk": "trunk",
    "upper_arm": "arms",
    "forearm": "arms",
    "thigh": "legs",
    "calf": "legs",
}
# Waves that make up a smooth field over the skin, and the range of their lengths.
WAVES = 10
WAVE_LENGTH_CM = (18.0, 70.0)


@dataclass(frozen=True)
class SmoothField:
    """A random field in space: a sum of plane waves, mean zero.

    Parameters
    ----------
    waves_per_cm
        Shape (waves, 3).
    phases
        Shape (waves,).
    amplitude
        Standard deviation.
    """

    waves_per_cm: Array
    phases: Array
    amplitude: float

    def at(self, points_cm: Array) -> Array:
        """Values at points, shape (points,)."""
        angle = 2 * np.pi * points_cm @ self.waves_per_cm.T + self.phases
        return np.asarray(self.amplitude * np.sqrt(2 / len(self.phases)) * np.cos(angle).sum(axis=1))


@dataclass(frozen=True)
class OrganTraits:
    """Lungs and heart as factors and shifts of those of the reference adult.

    Parameters
    ----------
    lung_width, lung_height
        Of the left and the right lung.
    heart
        Size.
    heart_shift_cm
        Across and along the body.
    """

    lung_width: tuple[float, float]
    lung_height: tuple[float, float]
    heart: float
    heart_shift_cm: tuple[float, float]


@dataclass(frozen=True)
class Individual:
    """How the inside of one body differs from what its shape suggests.

    Parameters
    ----------
    fat_percent_points
        Added to the predicted percentage of fat.
    fat_segment_factors
        Multiply the depth of fat of each of ``FAT_SEGMENTS``.
    fat_unevenness
        Logarithm of the layer's depth from place to place.
    marbling
        Share of lipids in lean tissue.
    visceral_factor, visceral_shift_cm
        Multiply visceral fat; where its middle lies, across and along the body.
    bone_factor
        Multiplies predicted bone mineral.
    bone_group_factors
        Multiply each group's share of it.
    skeleton
        Shape of the bones.
    organs
        Lungs and heart.
    implants
        Names of ``implants.IMPLANTS``.
    texture
        Relative amplitude of the exchange of fat and lean.
    """

    fat_percent_points: float
    fat_segment_factors: Mapping[str, float]
    fat_unevenness: SmoothField
    marbling: float
    visceral_factor: float
    visceral_shift_cm: tuple[float, float]
    bone_factor: float
    bone_group_factors: Mapping[str, float]
    skeleton: SkeletonTraits
    organs: OrganTraits
    implants: tuple[str, ...]
    texture: float


def sample_individual(
    specification: CohortSpecification, phenotypes: Phenotypes, generator: np.random.Generator
) -> Individual:
    """Draw what a body's shape does not decide."""
    fat, bone, organs = specification.fat, specification.bone, specification.organs

    def factor(spread: float) -> float:
        return float(np.exp(generator.normal(0.0, spread)))

    depots = {depot: factor(fat.depot_sd) for depot in dict.fromkeys(FAT_SEGMENTS.values())}
    length = generator.uniform(*WAVE_LENGTH_CM, size=(WAVES, 1))
    direction = generator.normal(size=(WAVES, 3))
    waves = direction / np.linalg.norm(direction, axis=1, keepdims=True) / length
    lungs, heights = factor(organs.lung_sd), factor(organs.lung_sd / 2)
    return Individual(
        fat_percent_points=float(generator.normal(0.0, fat.amount_sd)),
        fat_segment_factors={
            name: depots[depot] * factor(fat.segment_sd) for name, depot in FAT_SEGMENTS.items()
        },
        fat_unevenness=SmoothField(waves, generator.uniform(0.0, 2 * np.pi, WAVES), fat.unevenness_sd),
        marbling=max(0.005, float(generator.normal(fat.marbling_mean, fat.marbling_sd))),
        visceral_factor=factor(fat.visceral_sd),
        visceral_shift_cm=_pair(generator, fat.visceral_shift_sd_cm),
        bone_factor=factor(bone.mineral_sd),
        bone_group_factors={name: factor(bone.group_sd) for name in MINERAL_SHARES},
        skeleton=SkeletonTraits(
            calibre={name: factor(bone.calibre_sd) for name in MINERAL_SHARES},
            size={name: factor(bone.size_sd) for name in ("head", "ribs", "pelvis")},
            curve_cm=_pair(generator, bone.curve_sd_cm),
            rib_slope=factor(bone.rib_slope_sd),
            wear=_wear(phenotypes.age_years, bone.wear_sd, generator),
        ),
        organs=OrganTraits(
            lung_width=(lungs * factor(organs.lung_sd / 2), lungs * factor(organs.lung_sd / 2)),
            lung_height=(heights * factor(organs.lung_sd / 4), heights * factor(organs.lung_sd / 4)),
            heart=factor(organs.heart_sd),
            heart_shift_cm=_pair(generator, organs.shift_sd_cm),
        ),
        implants=sample_implants(specification.implants, phenotypes.age_years, generator),
        texture=specification.texture.amplitude * factor(specification.texture.amplitude_log_sd),
    )


def _pair(generator: np.random.Generator, spread: float) -> tuple[float, float]:
    first, second = generator.normal(0.0, spread, size=2)
    return float(first), float(second)


def _wear(age_years: float, spread: float, generator: np.random.Generator) -> tuple[float, ...]:
    """Mineral that wear adds to each of five lumbar vertebrae, as shares: none before 40 years of age."""
    share = float(np.clip((age_years - 40.0) / 40.0, 0.0, 1.0))
    return tuple((share * spread * np.abs(generator.normal(size=5))).tolist())
