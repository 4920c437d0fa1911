"""The skeleton as analytic chord maps: where each group of bones lies, and how dense it is there.

Sizes are those of a 170 cm adult and scale with stature. They are drawn after anatomical atlases and tuned to
the look of scans; what is calibrated is each group's share of the bone mineral, not its shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from registry.dxa.cohort.bodies import Array, Body, BodyModel
from registry.dxa.cohort.primitives import Rods, ellipsoid_chords_cm
from registry.dxa.cohort.rig import SIDES, bones_starting_with
from registry.dxa.imaging.geometry import GRID, Grid

# Share of total bone mineral content by group; recalled from regional reports, unverified.
MINERAL_SHARES = {
    "head": 0.19,
    "spine": 0.12,
    "ribs": 0.095,
    "girdle": 0.035,
    "arms": 0.14,
    "pelvis": 0.115,
    "legs": 0.365,
}
REFERENCE_STATURE_CM = 170.0
_NO_CALIBRE: Mapping[str, float] = MappingProxyType(dict.fromkeys(MINERAL_SHARES, 1.0))
# Density of the ends of long bones over that of their shafts.
SPONGY_DENSITY = 0.3
# Width of the skull over that of the head with its ears.
SKULL_WIDTH = 0.82


@dataclass(frozen=True)
class SkeletonTraits:
    """Shape of one person's bones, as factors of the reference adult's unless said.

    Parameters
    ----------
    calibre
        Thickness of the bones of each group of ``MINERAL_SHARES``.
    size
        Width of ``head`` (the skull in the head), ``ribs`` (the cage in the chest) and ``pelvis``.
    curve_cm
        Amplitudes of the spine's sideways curve: one arc, and two opposite ones.
    rib_slope
        How steeply ribs run down to the front.
    wear
        Mineral added to each lumbar vertebra from below, as shares of what it has.
    """

    calibre: Mapping[str, float] = field(default_factory=lambda: dict(_NO_CALIBRE))
    size: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(("head", "ribs", "pelvis"), 1.0))
    curve_cm: tuple[float, float] = (0.0, 0.0)
    rib_slope: float = 1.0
    wear: tuple[float, ...] = (0.0,) * 5


@dataclass(frozen=True)
class _Frame:
    """A posed body with what every group needs: joints by name, the scale and the person's traits."""

    model: BodyModel
    body: Body
    scale: float
    grid: Grid
    traits: SkeletonTraits
    group: str = ""

    @property
    def calibre(self) -> float:
        """Thickness of the group's bones."""
        return self.traits.calibre.get(self.group, 1.0)

    def joint(self, name: str) -> Array:
        return np.asarray(self.body.joints_cm[self.model.bone_index[name]])

    def rods(self, rods: list[tuple[Array, Array, float]], *, core: float, core_deficit: float) -> Array:
        """Chords of (start, end, radius at the reference stature)."""
        pairs: list[tuple[Array, Array]] = [(start, end) for start, end, _ in rods]
        radii = self.calibre * self.scale * np.array([radius for _, _, radius in rods])
        return Rods.between(list(pairs), radii, core=core, core_deficit=core_deficit).chords_cm(self.grid)

    def shafts_and_ends(
        self, shafts: list[tuple[Array, Array, float]], ends: list[tuple[Array, Array, float]]
    ) -> Array:
        """Long bones: cortical tubes, and ends of spongy bone that are thicker and less dense."""
        return self.rods(shafts, core=0.55, core_deficit=0.7) + SPONGY_DENSITY * self.rods(
            ends, core=0.5, core_deficit=0.2
        )

    def ellipsoid(self, centre: Array, axes_cm: tuple[float, float, float], tilt: float = 0.0) -> Array:
        return ellipsoid_chords_cm(centre, self.scale * np.array(axes_cm), tilt, grid=self.grid)


def skeleton_maps(
    model: BodyModel,
    body: Body,
    stature_cm: float,
    traits: SkeletonTraits | None = None,
    grid: Grid = GRID,
) -> dict[str, Array]:
    """Distribution of bone mineral of each group, each map summing to one.

    Parameters
    ----------
    model, body
        A body placed on the table.
    stature_cm
        Sets the thickness of bones.
    traits
        Shape of this person's bones; the reference adult's unless given.
    grid
        Pixels.

    Returns
    -------
    dict
        Keys of ``MINERAL_SHARES``, maps of shape (rows, columns).
    """
    traits = traits or SkeletonTraits()
    scale = stature_cm / REFERENCE_STATURE_CM
    frame = {group: _Frame(model, body, scale, grid, traits, group) for group in MINERAL_SHARES}
    return {
        "head": _head(frame["head"]),
        "spine": _unit(_spine(frame["spine"])),
        "ribs": _unit(_ribs(frame["ribs"])),
        "girdle": _unit(_girdle(frame["girdle"])),
        "arms": 0.85 * _unit(_arms(frame["arms"])) + 0.15 * _unit(_hands(frame["arms"])),
        "pelvis": _unit(_pelvis(frame["pelvis"])),
        "legs": 0.88 * _unit(_legs(frame["legs"])) + 0.12 * _unit(_feet(frame["legs"])),
    }


def _unit(chords: Array) -> Array:
    return chords / max(float(chords.sum()), 1e-12)


def _head(frame: _Frame) -> Array:
    """Cranial vault as a shell with a base, face and jaw below."""
    bones = bones_starting_with(frame.model, "head")
    head = frame.body.vertices_cm[np.isin(frame.model.skin.dominant_bone, bones)]
    low, high = head.min(axis=0), head.max(axis=0)
    height, depth = high[2] - low[2], high[1] - low[1]
    centre = (low + high) / 2
    centre[2] = high[2] - 0.38 * height
    half_width = min(0.97, SKULL_WIDTH * frame.traits.size["head"]) * (high[0] - low[0]) / 2
    vault = (0.95 * half_width, 0.42 * depth, 0.36 * height)
    wall = 0.65 * frame.scale * frame.calibre
    shell = ellipsoid_chords_cm(centre, vault, wall_cm=wall, grid=frame.grid)
    base = ellipsoid_chords_cm(centre - [0, 0, 0.12 * height], 0.8 * np.array(vault), grid=frame.grid)
    face = ellipsoid_chords_cm(
        np.array([centre[0], centre[1], high[2] - 0.70 * height]),
        (0.66 * half_width, 2.2 * frame.scale, 0.24 * height),
        grid=frame.grid,
    )
    return 0.68 * _unit(shell) + 0.18 * _unit(base) + 0.14 * _unit(face)


def _spine(frame: _Frame) -> Array:
    """Vertebral column from the sacrum to the skull, tapering."""
    names = ("spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "neck02", "neck03", "head")
    radii = (2.3, 2.2, 2.0, 1.7, 1.5, 1.3, 1.2, 1.2)
    points = _curved([frame.joint(name) for name in names], frame.traits.curve_cm)
    column = list(zip(points[:-1], points[1:], radii, strict=True))
    chords = frame.rods(column, core=0.8, core_deficit=0.6)
    # Discs hold no mineral: a weak ripple along the column, 24 vertebrae from bottom to top.
    low, high = points[0][2], points[-1][2]
    phase = 2 * np.pi * 24 * (frame.grid.row_centres_cm() - low) / max(high - low, 1.0)
    along = 1.0 + 0.2 * np.cos(phase)
    for number, wear in enumerate(frame.traits.wear):
        vertebra = points[0][2] + (number + 0.5) / 5 * (points[2][2] - points[0][2])
        distance = (frame.grid.row_centres_cm() - vertebra) / (1.3 * frame.scale)
        along = along + wear * np.exp(-(distance**2))
    return np.asarray(chords * along[:, None])


def _curved(points: list[Array], curve_cm: tuple[float, float]) -> list[Array]:
    """Points of a column moved sideways; both ends stay."""
    low, high = points[0][2], points[-1][2]
    result = []
    for point in points:
        share = (point[2] - low) / max(high - low, 1.0)
        aside = curve_cm[0] * np.sin(np.pi * share) + curve_cm[1] * np.sin(2 * np.pi * share)
        result.append(point + np.array([aside, 0.0, 0.0]))
    return result


def _ribs(frame: _Frame) -> Array:
    """Ten pairs of ribs from back to front, and the breast bone."""
    top, bottom = frame.joint("neck01"), frame.joint("spine03")
    height = top[2] - bottom[2] + 2 * frame.scale
    trunk = _trunk_slab(frame, bottom[2], top[2])
    middle_x = float(np.median(trunk[:, 0]))
    flank = float(np.percentile(np.abs(trunk[:, 0] - middle_x), 80))
    half_width = min(0.95, 0.84 * frame.traits.size["ribs"]) * flank
    slope = 0.22 * frame.traits.rib_slope * height
    middle_y = float(np.median(trunk[:, 1]))
    half_depth = 0.4 * float(np.diff(np.percentile(trunk[:, 1], [5, 95]))[0])
    angle = np.linspace(0.0, 0.94 * np.pi, 12)
    rods: list[tuple[Array, Array, float]] = []
    for number in range(10):
        share = (number + 0.5) / 10
        opening = min(1.0, 1.35 * share + 0.22)
        reach = half_width * np.sqrt(1.0 - (1.0 - opening) ** 2)
        for side in (-1.0, 1.0):
            points = np.stack(
                [
                    middle_x + side * reach * np.sin(angle),
                    middle_y + half_depth * np.cos(angle),
                    top[2] - 0.95 * share * height - slope * np.sin(angle / 2) ** 2,
                ],
                axis=1,
            )
            rods += [(start, end, 0.42) for start, end in pairwise(points)]
    sternum_top = np.array([middle_x, middle_y - half_depth, top[2] - 0.18 * height])
    rods.append((sternum_top, sternum_top - [0, 0, 0.42 * height], 1.1))
    return frame.rods(rods, core=0.6, core_deficit=1.0)


def _trunk_slab(frame: _Frame, low_z: float, high_z: float) -> Array:
    """Vertices that follow the trunk's bones between two heights."""
    bones = bones_starting_with(frame.model, "spine", "breast")
    of_trunk = np.isin(frame.model.skin.dominant_bone, bones)
    z = frame.body.vertices_cm[:, 2]
    return np.asarray(frame.body.vertices_cm[of_trunk & (z > low_z) & (z < high_z)])


def _girdle(frame: _Frame) -> Array:
    """Collar bones and shoulder blades."""
    rods: list[tuple[Array, Array, float]] = []
    blades = np.zeros(frame.grid.shape)
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        collar, point = frame.joint(f"clavicle.{side}"), frame.joint(f"shoulder01.{side}")
        shoulder = frame.joint(f"upperarm01.{side}")
        rods += [(collar, point, 0.6), (point, shoulder, 0.6)]
        centre = shoulder + frame.scale * np.array([-5.5 * sign, 0.0, -5.0])
        blades += frame.ellipsoid(centre, (3.6, 0.5, 7.0), 0.35 * sign)
    return frame.rods(rods, core=0.55, core_deficit=0.7) + 0.2 * blades


def _arms(frame: _Frame) -> Array:
    """Humerus with its head and condyles, radius and ulna."""
    shafts: list[tuple[Array, Array, float]] = []
    ends: list[tuple[Array, Array, float]] = []
    for side in SIDES:
        shoulder, elbow = frame.joint(f"upperarm01.{side}"), frame.joint(f"lowerarm01.{side}")
        wrist = frame.joint(f"wrist.{side}")
        apart = frame.scale * np.array([0.8, 0.0, 0.0])
        shafts += [
            (shoulder, elbow, 1.0),
            (elbow + apart, wrist + 0.9 * apart, 0.65),
            (elbow - apart, wrist - 0.9 * apart, 0.6),
        ]
        ends += [
            (shoulder, shoulder + 0.12 * (elbow - shoulder), 1.9),
            (elbow - 0.05 * (elbow - shoulder), elbow + 0.02 * (wrist - elbow), 1.6),
        ]
    return frame.shafts_and_ends(shafts, ends)


def _hands(frame: _Frame) -> Array:
    """Metacarpals and fingers; wrist bones as part of them."""
    rods: list[tuple[Array, Array, float]] = []
    for side in SIDES:
        wrist = frame.joint(f"wrist.{side}")
        for ray in range(1, 6):
            names = ([f"metacarpal{ray - 1}.{side}"] if ray > 1 else []) + [
                f"finger{ray}-{part}.{side}" for part in (1, 2, 3)
            ]
            points = [wrist, *(frame.joint(name) for name in names)]
            rods += [(start, end, 0.45) for start, end in pairwise(points)]
    return frame.rods(rods, core=0.4, core_deficit=1.0)


def _pelvis(frame: _Frame) -> Array:
    """Iliac wings, sacrum and the rings around the obturator foramina."""
    left, right = frame.joint("upperleg01.L"), frame.joint("upperleg01.R")
    middle, half_width = (left + right) / 2, float(np.linalg.norm(left - right)) / 2
    k = frame.scale
    size = frame.traits.size["pelvis"]
    chords = 0.5 * frame.ellipsoid(middle + k * np.array([0, 0, 6.5]), (3.6, 1.6, 4.8))
    angle = np.linspace(0.0, 2 * np.pi, 17)
    for sign in (1.0, -1.0):
        chords += frame.ellipsoid(
            middle + np.array([0.72 * sign * half_width, 0.0, 7.0 * k]),
            (4.6 * size, 0.8, 6.4 * size),
            -0.5 * sign,
        )
        socket = middle + np.array([0.85 * sign * half_width, 0.0, 1.0 * k])
        chords += 0.7 * frame.ellipsoid(socket, (2.9, 1.2, 3.0))
        ring = np.stack(
            [
                middle[0] + sign * k * (3.2 + 2.6 * np.cos(angle)),
                np.full_like(angle, middle[1]),
                middle[2] - k * (3.0 - 3.4 * np.sin(angle)),
            ],
            axis=1,
        )
        rods = [(start, end, 0.9) for start, end in pairwise(ring)]
        chords += 0.35 * frame.rods(rods, core=0.5, core_deficit=0.8)
    return chords


def _legs(frame: _Frame) -> Array:
    """Femur with head, neck and trochanter, knee, tibia, fibula and ankle."""
    k = frame.scale
    shafts: list[tuple[Array, Array, float]] = []
    ends: list[tuple[Array, Array, float]] = []
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        hip, knee = frame.joint(f"upperleg01.{side}"), frame.joint(f"lowerleg01.{side}")
        ankle = frame.joint(f"foot.{side}")
        head = hip - [1.5 * k * sign, 0.0, 0.0]
        trochanter = hip + k * np.array([2.8 * sign, 0.0, -3.5])
        fibula = k * np.array([2.4 * sign, 0.0, -3.0])
        shafts += [
            (trochanter, knee, 1.45),
            (knee - [0.5 * k * sign, 0.0, 0.0], ankle, 1.3),
            (knee + fibula, ankle + k * np.array([1.4 * sign, 0.0, 0.0]), 0.5),
        ]
        ends += [
            (head, head + np.array([0.01, 0.0, 0.0]), 2.3),
            (head, trochanter, 1.5),
            (trochanter + np.array([0.0, 0.0, 1.5 * k]), trochanter - [0.0, 0.0, 2.5 * k], 1.8),
            (knee + 0.09 * (trochanter - knee), knee, 2.5),
            (knee, knee + 0.09 * (ankle - knee), 2.5),
            (ankle + 0.05 * (knee - ankle), ankle, 1.7),
        ]
    return frame.shafts_and_ends(shafts, ends)


def _feet(frame: _Frame) -> Array:
    """Heel, metatarsals and toes."""
    rods: list[tuple[Array, Array, float]] = []
    for side in SIDES:
        ankle = frame.joint(f"foot.{side}")
        for ray in range(1, 6):
            root, tip = frame.joint(f"toe{ray}-1.{side}"), frame.joint(f"toe{ray}-2.{side}")
            rods += [(ankle, root, 0.65), (root, tip, 0.45)]
        rods.append((ankle, ankle + frame.scale * np.array([0.0, 4.0, -2.5]), 1.9))
    return frame.rods(rods, core=0.5, core_deficit=0.9)
