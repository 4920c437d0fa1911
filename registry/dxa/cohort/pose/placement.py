"""Where a posed body lies on the table, and whether it stays within the field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from registry.dxa.cohort.bodies import Body, BodyModel
from registry.dxa.cohort.pose.angles import Pose
from registry.dxa.cohort.pose.habit import Habit
from registry.dxa.cohort.pose.rotation import rotation
from registry.dxa.cohort.pose.skinning import apply_pose
from registry.dxa.cohort.sources import PlacementVariation
from registry.dxa.imaging.geometry import GRID

# One empty pixel stays on every side.
MARGIN_ACROSS_CM = GRID.column_spacing_cm
MARGIN_ALONG_CM = GRID.row_spacing_cm
# How much less the feet point when a body is too long for the field, step by step.
FOOT_RELIEF_DEG = (20.0, 40.0)


@dataclass(frozen=True)
class Placement:
    """Where the body lies: shift of its midline, rotation about the beam, roll about its own axis."""

    across_cm: float
    along_cm: float
    rotation_deg: float
    roll_deg: float = 0.0


def sample_placement(variation: PlacementVariation, habit: Habit) -> Placement:
    """Draw where the body lies; ``place`` limits it to the field."""
    return Placement(
        across_cm=habit.normal(0.0, variation.across_sd_cm),
        along_cm=habit.normal(0.0, variation.along_sd_cm),
        rotation_deg=habit.normal(0.0, variation.rotation_sd_deg),
        roll_deg=habit.normal(0.0, variation.roll_sd_deg),
    )


def posed_within_field(model: BodyModel, rest: Body, pose: Pose) -> tuple[Body, int]:
    """Pose a body; point its feet less where they would leave the field, as is done with tall people.

    Returns
    -------
    body
        The posed body, which may still be too long.
    changes
        How often the pose was changed.
    """
    left, right = pose.feet_point
    body, changes = apply_pose(model, rest, pose), 0
    longest = GRID.length_cm - 3 * MARGIN_ALONG_CM
    while np.ptp(body.vertices_cm[:, 2]) > longest and changes < len(FOOT_RELIEF_DEG):
        relief_deg = FOOT_RELIEF_DEG[changes]
        body = apply_pose(model, rest, replace(pose, feet_point=(left - relief_deg, right - relief_deg)))
        changes += 1
    return body, changes


def place(body: Body, placement: Placement) -> Body:
    """Lay a posed body on the table: roll and rotate it, shift it as far as the field allows."""
    turn = rotation("y", placement.rotation_deg) @ rotation("z", placement.roll_deg)
    vertices, joints = body.vertices_cm @ turn.T, body.joints_cm @ turn.T
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    across = _limited(placement.across_cm, low[0], high[0], GRID.width_cm / 2 - MARGIN_ACROSS_CM)
    middle = (high[2] + low[2]) / 2
    along = _limited(
        placement.along_cm, low[2] - middle, high[2] - middle, GRID.length_cm / 2 - MARGIN_ALONG_CM
    )
    shift = np.array([across, 0.0, GRID.length_cm / 2 + along - middle])
    return Body(vertices + shift, joints + shift)


def fits_field(body: Body) -> bool:
    """Whether the whole body lies within the field, an empty pixel around it."""
    across = float(np.abs(body.vertices_cm[:, 0]).max())
    low, high = float(body.vertices_cm[:, 2].min()), float(body.vertices_cm[:, 2].max())
    inside_across = across <= GRID.width_cm / 2 - MARGIN_ACROSS_CM + 1e-9
    return inside_across and low >= MARGIN_ALONG_CM - 1e-9 and high <= GRID.length_cm - MARGIN_ALONG_CM + 1e-9


def _limited(shift: float, low: float, high: float, limit: float) -> float:
    """The nearest shift that keeps (low, high) within plus and minus a limit; centred where none does."""
    least, most = -limit - low, limit - high
    return float(np.clip(shift, least, most)) if least <= most else float(least + most) / 2
