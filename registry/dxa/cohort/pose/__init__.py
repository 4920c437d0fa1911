"""How a subject lies on the table.

``habit``      what of it is a person's own, and what a scan's
``angles``     the angles of a pose, and how they are drawn
``rotation``   rotation matrices
``skinning``   a body in a pose
``placement``  a posed body on the table, within the field
``clearance``  limbs that leave each other room
"""

from registry.dxa.cohort.pose.angles import Pose, sample_pose
from registry.dxa.cohort.pose.clearance import fitting_arm_angles, legs_apart
from registry.dxa.cohort.pose.habit import Habit
from registry.dxa.cohort.pose.placement import (
    Placement,
    fits_field,
    place,
    posed_within_field,
    sample_placement,
)
from registry.dxa.cohort.pose.skinning import apply_pose

__all__ = [
    "Habit",
    "Placement",
    "Pose",
    "apply_pose",
    "fits_field",
    "fitting_arm_angles",
    "legs_apart",
    "place",
    "posed_within_field",
    "sample_placement",
    "sample_pose",
]
