"""Rotation matrices about the axes of the table, and about any other."""

from __future__ import annotations

import numpy as np

from registry.dxa.cohort.bodies import Array


def rotation(axis: str, degrees: float) -> Array:
    """Right-handed rotation about an axis of the table."""
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    if axis == "x":
        return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    if axis == "y":
        return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def rotation_about(axis: Array, degrees: float) -> Array:
    """Right-handed rotation about a unit vector, by the formula of Rodrigues."""
    angle = np.deg2rad(degrees)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
