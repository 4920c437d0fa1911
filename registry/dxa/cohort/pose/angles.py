"""The angles of a pose, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from registry.dxa.cohort.pose.habit import Habit
from registry.dxa.cohort.sources import PoseVariation


@dataclass(frozen=True)
class Pose:
    """Rotations in degrees, left then right where there are two; positive brings a limb to the midline.

    Parameters
    ----------
    arms, elbows, hands
        Adduction of the upper arm, of the forearm at the elbow, of the hand at the wrist.
    legs, feet_turn, feet_point
        Adduction of the leg, inward turn of the foot, pointing of the toes.
    head_turn, head_tilt
        Turn to the subject's left, tilt to the subject's left shoulder.
    arm_rolls, leg_rolls
        Turn of forearm and hand, and of the whole leg, about the limb's axis; positive turns inward.
    shrugs
        Raising of the shoulders.
    head_nod
        Lifting of the chin.
    bend
        Sideways curve of the spine, to the subject's left.
    """

    arms: tuple[float, float]
    elbows: tuple[float, float]
    hands: tuple[float, float]
    legs: tuple[float, float]
    feet_turn: tuple[float, float]
    feet_point: tuple[float, float]
    head_turn: float
    head_tilt: float
    arm_rolls: tuple[float, float] = (0.0, 0.0)
    leg_rolls: tuple[float, float] = (0.0, 0.0)
    shrugs: tuple[float, float] = (0.0, 0.0)
    head_nod: float = 0.0
    bend: float = 0.0

    def straightened(self, share: float) -> Pose:
        """The pose with the spine's curve and the shoulders' raising reduced to a share."""
        left, right = self.shrugs
        return replace(self, bend=share * self.bend, shrugs=(share * left, share * right))


def sample_pose(variation: PoseVariation, arms: tuple[float, float], habit: Habit) -> Pose:
    """Draw everything but the arm angles, which the body decides."""

    def pair(mean: float, spread: float) -> tuple[float, float]:
        """Both sides vary together and on their own, half of the variance each."""
        half = spread * np.sqrt(0.5)
        centre = habit.normal(mean, half)
        return centre + habit.normal(0.0, half), centre + habit.normal(0.0, half)

    return Pose(
        arms=arms,
        elbows=pair(variation.elbow_mean_deg, variation.elbow_sd_deg),
        hands=pair(0.0, variation.hand_sd_deg),
        legs=pair(variation.leg_mean_deg, variation.leg_sd_deg),
        feet_turn=pair(variation.foot_turn_mean_deg, variation.foot_turn_sd_deg),
        feet_point=pair(variation.foot_point_mean_deg, variation.foot_point_sd_deg),
        head_turn=habit.normal(0.0, variation.head_turn_sd_deg),
        head_tilt=habit.normal(0.0, variation.head_tilt_sd_deg),
        arm_rolls=pair(0.0, variation.arm_roll_sd_deg),
        leg_rolls=pair(0.0, variation.leg_roll_sd_deg),
        shrugs=pair(0.0, variation.shrug_sd_deg),
        head_nod=habit.normal(0.0, variation.head_nod_sd_deg),
        bend=habit.normal(0.0, variation.bend_sd_deg),
    )
