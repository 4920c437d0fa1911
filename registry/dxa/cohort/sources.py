"""The sources of variation between scans: each a group of documented parameters with fixed ranges.

The ranges were set before any network was trained on the cohort, with an eye on linear baselines. Where a
published figure fixes one, the parameter names it; the others are plausible values without a source, and say
so. Every source can be switched off on its own (:func:`without`), its means kept, so that what it adds can be
measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from registry.dxa.cohort.specification import CohortSpecification


class Strict(BaseModel):
    """Frozen, without unknown keys and without conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PoseVariation(Strict):
    """How limbs, spine and head lie; degrees. Assumed: positioning protocols fix the pose, not its spread.

    ``arm_freedom_deg`` is the range of angles beyond the innermost possible one that an arm may have;
    ``hand_gap_cm`` the least distance between hand and hip that is looked for. ``arm_roll``, ``leg_roll``
    turn a limb about its own axis, ``bend`` curves the spine sideways, ``shrug`` raises a shoulder, ``nod``
    lifts the chin. ``repositioning_share`` is the part of every spread that one person's own scans have:
    operators lay a person alike each time. With a share of s, scans of one person differ by s SD, people by
    sqrt(1 - s^2) SD, and all scans together by the SD given. It is set so that repeat scans are about as
    precise as published ones (docs/body-composition.md).
    """

    arm_freedom_deg: float = Field(default=12.0, ge=0, le=36)
    elbow_mean_deg: float = 8.0
    elbow_sd_deg: float = Field(default=8.0, ge=0)
    hand_sd_deg: float = Field(default=8.0, ge=0)
    arm_roll_sd_deg: float = Field(default=20.0, ge=0)
    shrug_sd_deg: float = Field(default=3.0, ge=0)
    leg_mean_deg: float = 4.0
    leg_sd_deg: float = Field(default=3.5, ge=0)
    leg_roll_sd_deg: float = Field(default=10.0, ge=0)
    foot_turn_mean_deg: float = 8.0
    foot_turn_sd_deg: float = Field(default=10.0, ge=0)
    foot_point_mean_deg: float = 42.0
    foot_point_sd_deg: float = Field(default=10.0, ge=0)
    head_turn_sd_deg: float = Field(default=12.0, ge=0)
    head_tilt_sd_deg: float = Field(default=5.0, ge=0)
    head_nod_sd_deg: float = Field(default=7.0, ge=0)
    bend_sd_deg: float = Field(default=3.0, ge=0)
    hand_gap_cm: float = 1.2
    repositioning_share: float = Field(default=0.4, ge=0, le=1)


class PlacementVariation(Strict):
    """Where the body lies on the table; shifts are limited to what the field leaves. Assumed.

    ``rotation`` is about the beam, ``roll`` about the body's own axis; ``repositioning_share`` is as for the
    pose.
    """

    rotation_sd_deg: float = Field(default=2.0, ge=0)
    roll_sd_deg: float = Field(default=4.0, ge=0)
    across_sd_cm: float = Field(default=2.0, ge=0)
    along_sd_cm: float = Field(default=5.0, ge=0)
    repositioning_share: float = Field(default=0.4, ge=0, le=1)


class ShapeVariation(Strict):
    """How bodies differ beyond their phenotypes, as shares of one.

    ``basis_sd`` perturbs the shape coefficients from ``basis_first`` on; girths and lengths of limb segments,
    depth and width of the trunk and how far the breasts stand out vary besides. ``asymmetry_sd`` is the
    difference of the two sides: prediction limits of the difference in limb volume are 6-10 % (dominant
    arm), 3-6 % (leg) in 363 normal limbs (Lymphatic Research and Biology 16(1):75, 2018), so an SD of 2-3 %.
    ``flattening`` is how much shallower and wider soft parts are lying than standing (assumed): surface
    measures are taken standing, scans lying.
    """

    basis_sd: float = Field(default=0.5, ge=0)
    basis_first: int = 8
    girth_sd: float = Field(default=0.06, ge=0, le=0.2)
    length_sd: float = Field(default=0.03, ge=0, le=0.2)
    trunk_sd: float = Field(default=0.06, ge=0, le=0.2)
    breast_sd_cm: float = Field(default=1.2, ge=0, le=4)
    asymmetry_sd: float = Field(default=0.025, ge=0, le=0.2)
    flattening_mean: float = Field(default=0.05, ge=0, le=0.2)
    flattening_sd: float = Field(default=0.025, ge=0, le=0.2)


class FatVariation(Strict):
    """How much fat a body of one shape has, and where; shares of one unless said.

    ``amount_sd`` is in percent points of body fat; the standard error of equations of body mass index is 4.1
    (Deurenberg et al. 1991) or 2.8 to 5.4 (Gallagher et al. 2000; abstracts read). ``depot_sd`` varies trunk,
    arms and legs, ``segment_sd`` parts of them, ``unevenness_sd`` the layer from place to place over the
    skin; ``visceral_sd`` the abdominal fat and ``visceral_shift_cm`` where it lies. ``marbling_mean``,
    ``marbling_sd`` are the lipids within lean tissue.
    """

    amount_sd: float = Field(default=3.5, ge=0)
    depot_sd: float = Field(default=0.15, ge=0, le=0.5)
    segment_sd: float = Field(default=0.08, ge=0, le=0.5)
    unevenness_sd: float = Field(default=0.15, ge=0, le=0.5)
    visceral_sd: float = Field(default=0.30, ge=0, le=1)
    visceral_shift_sd_cm: float = Field(default=1.5, ge=0)
    marbling_mean: float = Field(default=0.03, ge=0, le=0.1)
    marbling_sd: float = Field(default=0.01, ge=0, le=0.05)


class BoneVariation(Strict):
    """How skeletons of one stature differ, as shares of one unless said.

    ``mineral_sd`` is the total mineral's: given weight and age, total BMD scatters by 0.074 g/cm2, about 7 %
    (111 women; Br J Radiol 1993;66:303, abstract read), and its area besides. The rest is assumed:
    ``group_sd`` varies each group's part, ``calibre_sd`` the thickness of its bones, ``unevenness_sd``
    mineral from place to place; ribs, pelvis and skull differ in size and slope, the spine in its curve and
    in the mineral that wear adds with age (``wear_sd``).
    """

    mineral_sd: float = Field(default=0.10, ge=0, le=0.5)
    group_sd: float = Field(default=0.07, ge=0, le=0.5)
    calibre_sd: float = Field(default=0.07, ge=0, le=0.3)
    size_sd: float = Field(default=0.05, ge=0, le=0.2)
    curve_sd_cm: float = Field(default=0.45, ge=0, le=3)
    rib_slope_sd: float = Field(default=0.15, ge=0, le=0.5)
    wear_sd: float = Field(default=0.25, ge=0, le=1)
    unevenness_sd: float = Field(default=0.07, ge=0, le=0.3)


class OrganVariation(Strict):
    """Air and the heart.

    ``lung_sd``, ``heart_sd`` are shares of one (assumed), ``diaphragm_sd_cm`` the height at which a breath
    was held (assumed), ``shift_sd_cm`` the place of the heart. ``gas_median_ml`` and ``gas_log_sd``: 95 ml,
    quartiles 71 and 141, in the gut of 37 healthy people on CT (Neurogastroenterol Motil, September 2015).
    """

    lung_sd: float = Field(default=0.12, ge=0, le=0.5)
    diaphragm_sd_cm: float = Field(default=1.2, ge=0, le=4)
    heart_sd: float = Field(default=0.12, ge=0, le=0.5)
    shift_sd_cm: float = Field(default=0.7, ge=0, le=3)
    gas_median_ml: float = Field(default=95.0, ge=0, le=400)
    gas_log_sd: float = Field(default=0.51, ge=0, le=1)


class ImplantVariation(Strict):
    """Metal in the body; no implant counts in any measure.

    ``joint_factor`` multiplies the prevalence of total hip (5.26 % at 80 years) and knee replacement
    (10.38 %; Maradit Kremers et al. 2015, J Bone Joint Surg Am 97:1386), interpolated by age.
    ``fixation_share`` are adults with a plate in a forearm or a leg or rods in the spine, ``filling_share``
    those with metal in their teeth (both assumed).
    """

    joint_factor: float = Field(default=1.0, ge=0, le=5)
    fixation_share: float = Field(default=0.02, ge=0, le=1)
    filling_share: float = Field(default=0.5, ge=0, le=1)


class TextureVariation(Strict):
    """Small exchange of fat and lean from place to place: islands of muscle and fat. Assumed.

    ``amplitude`` is relative; ``amplitude_log_sd`` lets it differ between people.
    """

    amplitude: float = Field(default=0.04, ge=0, le=0.2)
    amplitude_log_sd: float = Field(default=0.35, ge=0, le=1)


SOURCES = {
    "pose": "arms, hands, legs, feet, head and spine",
    "placement": "position and rotation on the table",
    "shape": "local shape, asymmetry, lying against standing",
    "fat": "amount and distribution of fat",
    "bone": "mineral, calibre and shape of the skeleton",
    "organs": "lungs, heart and bowel gas",
    "implants": "joint replacements, fixations and fillings",
    "texture": "islands of muscle and fat",
}

# Parameters that vary nothing: means, and limits that keep hands off the hips.
_KEPT = ("_mean", "_mean_deg", "basis_first", "hand_gap_cm", "gas_median_ml", "repositioning_share")


def without(specification: CohortSpecification, source: str) -> CohortSpecification:
    """The same cohort with one source of variation switched off: its spreads are zero, its means stay.

    Every person is drawn from the same random numbers as before, so that the two cohorts are paired.
    """
    group = getattr(specification, source)
    off = {name: 0.0 for name in type(group).model_fields if not name.endswith(_KEPT)}
    return specification.model_copy(update={source: type(group).model_validate(off)})
