"""What a body is made of: areal densities of fat, lean tissue and bone mineral in every pixel.

Adipose tissue is the shell between the skin and an inner surface; visceral fat, lungs, gas and the skeleton
lie inside. The amounts follow published regressions, the shell's depth is solved for the fat mass they ask
for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from registry.dxa.cohort.bodies import Array, Body, BodyModel
from registry.dxa.cohort.implants import implant_map
from registry.dxa.cohort.individual import FAT_SEGMENTS, Individual
from registry.dxa.cohort.organs import air_chords_cm
from registry.dxa.cohort.phenotypes import Phenotypes
from registry.dxa.cohort.projection import thickness_and_cover, thickness_map
from registry.dxa.cohort.rig import (
    FOOT_BONES,
    HAND_BONES,
    REGIONS,
    bones_starting_with,
    positions_on_axes,
    surface_regions,
)
from registry.dxa.cohort.skeleton import MINERAL_SHARES, REFERENCE_STATURE_CM, skeleton_maps
from registry.dxa.cohort.specification import CohortSpecification, Sex
from registry.dxa.imaging.geometry import GRID, Grid

# Densities in g/cm3 and the lipid shares by mass; ICRP Publication 89 gives similar ones (unverified).
ADIPOSE_DENSITY = 0.95
ADIPOSE_LIPID = 0.82
LIPID_DENSITY = 0.92
LEAN_DENSITY = 1.06
MINERAL_DENSITY = 3.16
# Half a pixel of blur, standard deviation in rows and columns.
POINT_SPREAD_PIXELS = (0.45, 0.8)
# Equations for body fat change from children's to adults' over these years. In percent points, what the
# equations lack to the mean fat of adults in the American survey of 1999-2004 (Li et al. 2009).
GROWING_YEARS = (12.0, 20.0)
DXA_POINTS: dict[Sex, float] = {"female": 1.8, "male": 4.6}
# Muscular bodies have less fat than others of the same body mass index: percent points from the least to the
# most muscular (ours), and the muscle that adults of the body model have on average.
MUSCLE_POINTS = 8.0
MEAN_MUSCLE: dict[Sex, float] = {"female": 0.27, "male": 0.44}
# The share of the body's thickness that air may take.
LARGEST_AIR_SHARE = 0.75
# The share of the lean tissue that visceral fat may take the place of, and steps that look for its extent.
LARGEST_VISCERAL_SHARE = 0.6
VISCERAL_STEPS = 8
LOWER_TRUNK_BONES = ("root", "pelvis", "spine05", "spine04")
# Depth of the fat on trunk, arms and legs over that of a layer equally deep in proportion to the radius.
DEPOT_DEPTHS: dict[Sex, dict[str, float]] = {
    "female": {"trunk": 0.92, "arms": 1.28, "legs": 1.19},
    "male": {"trunk": 1.05, "arms": 0.93, "legs": 1.05},
}
LIMB_BONES = {"upper_arm": "upperarm", "forearm": "lowerarm", "thigh": "upperleg", "calf": "lowerleg"}
# Standard deviations in pixels of texture along rows and columns, fine and coarse, and their shares of it.
TEXTURE_SCALES = (((1.2, 2.4), 0.75), ((3.5, 7.0), 0.66))


@dataclass(frozen=True)
class Specimen:
    """A body on the table and whose it is.

    Parameters
    ----------
    model, body
        The placed body.
    stature_cm
        Of the rest pose.
    phenotypes, individual
        Set the amounts of fat, lean tissue and bone.
    grid
        Pixels of the maps.
    """

    model: BodyModel
    body: Body
    stature_cm: float
    phenotypes: Phenotypes
    individual: Individual
    grid: Grid = GRID

    @property
    def scale(self) -> float:
        """Size of organs over that of the reference adult."""
        return self.stature_cm / REFERENCE_STATURE_CM

    def joint(self, name: str) -> Array:
        """Place of a bone's head."""
        return np.asarray(self.body.joints_cm[self.model.bone_index[name]])


@dataclass(frozen=True)
class Composition:
    """Maps of one body on the table.

    Parameters
    ----------
    densities_g_cm2
        Fat, lean and bone mineral, shape (rows, columns, 3).
    thickness_cm
        Shape (rows, columns).
    region
        Index into ``REGIONS`` of each pixel, -1 outside the body.
    implants_g_cm2
        Titanium, shape (rows, columns), or None; no part of the body and of no measure.
    inner_surface_cm
        Vertices of the surface that the shell of fat ends at, in the order of the body's.
    """

    densities_g_cm2: Array
    thickness_cm: Array
    region: np.ndarray
    implants_g_cm2: Array | None
    inner_surface_cm: Array


def fat_fraction(phenotypes: Phenotypes, bmi_kg_m2: float, percent_points: float) -> float:
    """Predicted share of fat in body mass.

    Adults from 20 years on follow Gallagher et al. (2000; recalled, unverified), children up to 12
    Deurenberg, Weststrate and Seidell (1991), those between a mean of both::

        adults    64.5 - 848 / BMI + 0.079 age - 16.4 male + 0.05 male age + 39.0 male / BMI
        children  1.51 BMI - 0.70 age - 3.6 male + 1.4

    Both were fitted to other methods than the scanner's, which finds ``DXA_POINTS`` more. Muscular bodies of
    the same BMI have less, and the result is bent into 7 to 58 %.
    """
    male, age = float(phenotypes.sex == "male"), phenotypes.age_years
    adult = 64.5 - 848.0 / bmi_kg_m2 + 0.079 * age + male * (-16.4 + 0.05 * age + 39.0 / bmi_kg_m2)
    child = 1.51 * bmi_kg_m2 - 0.70 * age - 3.6 * male + 1.4
    percent = DXA_POINTS[phenotypes.sex] + float(np.interp(age, GROWING_YEARS, (child, adult)))
    percent += percent_points - MUSCLE_POINTS * (phenotypes.muscle - MEAN_MUSCLE[phenotypes.sex])
    return _softly_limited(percent, 7.0, 58.0) / 100.0


def _softly_limited(value: float, low: float, high: float, softness: float = 1.5) -> float:
    """A value bent, not clipped, into a range, so that no two bodies are set to the same limit."""
    value = low + softness * float(np.logaddexp(0.0, (value - low) / softness))
    return high - softness * float(np.logaddexp(0.0, (high - value) / softness))


def bone_mineral_g(phenotypes: Phenotypes, stature_cm: float, volume_l: float, factor: float) -> float:
    """Total bone mineral content in grams.

    Scaled to means of American adults (2.7 kg men, 2.1 kg women: ``published``). The powers of stature and
    size and the decline after 50 years are plausible, not fitted to data.
    """
    male = phenotypes.sex == "male"
    reference_g, stature, volume = (2680.0, 176.0, 87.0) if male else (2220.0, 163.0, 74.0)
    mineral = reference_g * (stature_cm / stature) ** 2.6 * (volume_l / volume) ** 0.25
    if phenotypes.age_years < 18:
        mineral *= 0.86
    else:
        mineral *= 1.0 - 0.004 * max(0.0, phenotypes.age_years - 50.0) * (1.0 if male else 1.8)
    return float(mineral * factor)


def visceral_share(phenotypes: Phenotypes, factor: float) -> float:
    """Share of the fat that lies inside the abdomen: 9-30 %, more in men and with age (unverified)."""
    base = 0.16 if phenotypes.sex == "male" else 0.09
    return float(np.clip((base + 0.001 * (phenotypes.age_years - 40.0)) * factor, 0.04, 0.30))


def compose(
    specimen: Specimen, specification: CohortSpecification, generator: np.random.Generator
) -> Composition:
    """Lay out fat, lean tissue and bone of a body that lies on the table.

    Parameters
    ----------
    specimen
        The body and whose it is.
    specification
        How far breath, gas and the mineral of bones vary.
    generator
        Draws what differs from scan to scan: breath, gas, texture.
    """
    model, body, grid = specimen.model, specimen.body, specimen.grid
    regions = surface_regions()
    thickness, cover = thickness_and_cover(
        body.vertices_cm, model.faces, regions.of_face, len(REGIONS), grid=grid
    )
    region = _region_map(cover)
    volume_l = float(thickness.sum()) * grid.pixel_area_cm2 / 1000.0

    mineral_g = bone_mineral_g(
        specimen.phenotypes, specimen.stature_cm, volume_l, specimen.individual.bone_factor
    )
    mineral = _mineral_map(specimen, mineral_g, thickness, specification.bone.unevenness_sd, generator)
    air_cm = air_chords_cm(
        (specimen.joint("spine02"), specimen.joint("neck01"), specimen.joint("spine04")),
        specimen.scale,
        specimen.individual.organs,
        variation=specification.organs,
        generator=generator,
        grid=grid,
    )
    air_cm = np.minimum(air_cm, LARGEST_AIR_SHARE * thickness)
    hollow_cm3 = float(air_cm.sum()) * grid.pixel_area_cm2 + mineral_g / MINERAL_DENSITY

    inner = _inner_surface(specimen, volume_l / (specimen.stature_cm / 100.0) ** 2, mineral_g, hollow_cm3)
    inner_cm = np.clip(thickness_map(inner, model.faces, grid), 0.0, thickness)
    adipose_cm = thickness - inner_cm
    lean_cm = np.maximum(inner_cm - air_cm - mineral / MINERAL_DENSITY, 0.0)
    visceral_cm = _visceral_map(specimen, adipose_cm, lean_cm)
    lean_cm = lean_cm - visceral_cm

    marbling = specimen.individual.marbling
    fat = ADIPOSE_DENSITY * ADIPOSE_LIPID * adipose_cm + LEAN_DENSITY * marbling * lean_cm
    fat += LIPID_DENSITY * visceral_cm
    lean = ADIPOSE_DENSITY * (1 - ADIPOSE_LIPID) * adipose_cm + LEAN_DENSITY * (1 - marbling) * lean_cm
    fat, lean = _add_texture(fat, lean, specimen.individual.texture, generator)
    implants = implant_map(model, body, specimen.scale, specimen.individual.implants, grid)
    return Composition(np.stack([fat, lean, mineral], axis=-1), thickness, region, implants, inner)


def _region_map(cover: Array) -> np.ndarray:
    """The region that covers most of a pixel; limbs win over what they lie on, as in a DXA analysis."""
    priority = np.array([1.0, 1.0, 1.2, 1.2, 1.1, 1.1])
    return np.where(cover.any(axis=-1), np.argmax(cover * priority, axis=-1), -1)


def _mineral_map(
    specimen: Specimen, mineral_g: float, thickness: Array, unevenness: float, generator: np.random.Generator
) -> Array:
    grid = specimen.grid
    total = bone_chords(specimen)
    total *= np.exp(unevenness * _smooth_noise(grid.shape, (0.8, 1.6), generator))
    blurred = np.where(thickness > 0.5, gaussian_filter(total, POINT_SPREAD_PIXELS), 0.0)
    # Below 0.5 mg/cm2 the blur's tail is no bone.
    density = blurred * mineral_g / (blurred.sum() * grid.pixel_area_cm2)
    return np.where(density > 5e-4, density, 0.0)


def bone_chords(specimen: Specimen) -> Array:
    """Where the mineral of all bones lies, before blur; sums to about one."""
    grid, individual = specimen.grid, specimen.individual
    maps = skeleton_maps(specimen.model, specimen.body, specimen.stature_cm, individual.skeleton, grid)
    factors = individual.bone_group_factors
    return sum(
        (MINERAL_SHARES[name] * factors[name] * chords for name, chords in maps.items()), np.zeros(grid.shape)
    )


def _inner_surface(specimen: Specimen, bmi_kg_m2: float, mineral_g: float, hollow_cm3: float) -> Array:
    """Vertices drawn inward from the skin until the shell holds the fat that is asked for.

    ``hollow_cm3`` is what neither fat nor lean tissue fills: air and bone mineral.
    """
    model, body, individual = specimen.model, specimen.body, specimen.individual
    target = fat_fraction(specimen.phenotypes, bmi_kg_m2, individual.fat_percent_points)
    visceral = visceral_share(specimen.phenotypes, individual.visceral_factor)
    depth = model.skin.average(_fat_depths(model, specimen.phenotypes, individual))
    depth = depth * np.exp(individual.fat_unevenness.at(model.mean_body.vertices_cm))
    axis_points = positions_on_axes(model, body)
    outward = body.vertices_cm - axis_points
    volume = body.volume_cm3(model.faces)

    def surface(amount: float) -> Array:
        return np.asarray(axis_points + (1.0 - np.clip(amount * depth, 0.0, 0.75))[:, None] * outward)

    low, high = 0.0, 0.7
    for _ in range(12):
        middle = (low + high) / 2
        inside = Body(surface(middle), body.joints_cm).volume_cm3(model.faces)
        adipose_g = ADIPOSE_DENSITY * (volume - inside)
        lean_g = LEAN_DENSITY * (inside - hollow_cm3)
        fat_g = ADIPOSE_LIPID * adipose_g / (1.0 - visceral) + individual.marbling * lean_g
        if fat_g < target * (adipose_g + lean_g + mineral_g):
            low = middle
        else:
            high = middle
    return surface((low + high) / 2)


def _fat_depths(model: BodyModel, phenotypes: Phenotypes, individual: Individual) -> Array:
    """Relative depth of the fat over each bone: men carry it on the trunk, women on the limbs."""
    depot, factor = DEPOT_DEPTHS[phenotypes.sex], individual.fat_segment_factors
    depth = np.full(len(model.bone_names), depot["trunk"] * factor["upper_trunk"])
    depth[bones_starting_with(model, *LOWER_TRUNK_BONES)] = depot["trunk"] * factor["lower_trunk"]
    for segment, bones in LIMB_BONES.items():
        depth[bones_starting_with(model, bones)] = depot[FAT_SEGMENTS[segment]] * factor[segment]
    depth[bones_starting_with(model, *HAND_BONES, *FOOT_BONES)] = 0.4
    depth[bones_starting_with(model, "head", "neck03", "eye")] = 0.45
    return depth


def _visceral_map(specimen: Specimen, adipose_cm: Array, lean_cm: Array) -> Array:
    """Centimetres of visceral fat, a soft blob in the abdomen in place of lean tissue."""
    grid, scale = specimen.grid, specimen.scale
    share = visceral_share(specimen.phenotypes, specimen.individual.visceral_factor)
    centre = specimen.joint("spine04")
    across, along = specimen.individual.visceral_shift_cm
    x = grid.column_centres_cm() - centre[0] - scale * across
    z = grid.row_centres_cm()[:, None] - centre[2] - scale * along
    blob = lean_cm * np.exp(-((z / (13.0 * scale)) ** 2) - (x / (11.0 * scale)) ** 2)
    wanted_cm = share / (1.0 - share) * ADIPOSE_DENSITY * ADIPOSE_LIPID * adipose_cm.sum() / LIPID_DENSITY
    limit = LARGEST_VISCERAL_SHARE * lean_cm
    filled = np.zeros(grid.shape)
    strength = wanted_cm / max(float(blob.sum()), 1e-9)
    # Where the middle is full, the rest spreads around it.
    for _ in range(VISCERAL_STEPS):
        filled = np.minimum(strength * blob, limit)
        strength *= wanted_cm / max(float(filled.sum()), 1e-9)
    return np.asarray(filled)


def _add_texture(
    fat: Array, lean: Array, amplitude: float, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Exchange equal masses of fat and lean from place to place, on a fine and a coarse scale."""
    field = np.zeros(fat.shape)
    for width, share in TEXTURE_SCALES:
        field += share * _smooth_noise(fat.shape, width, generator)
    exchanged = np.clip(amplitude * field * np.minimum(fat, lean), -0.9 * fat, 0.9 * lean)
    return fat + exchanged, lean - exchanged


def _smooth_noise(
    shape: tuple[int, int], width_pixels: tuple[float, float], generator: np.random.Generator
) -> Array:
    """Gaussian noise of unit variance, smooth over some pixels."""
    field = np.asarray(gaussian_filter(generator.standard_normal(shape), width_pixels))
    return field / max(float(field.std()), 1e-12)
