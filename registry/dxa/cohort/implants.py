"""Metal in the body: joint replacements, fixations and fillings, as areal densities of titanium.

Implants hide what lies behind them and count in no measure. Cobalt-chromium heads and amalgam are drawn as
titanium of the same size, which attenuates less.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from registry.dxa.cohort.bodies import Array, Body, BodyModel
from registry.dxa.cohort.primitives import Rods, ellipsoid_chords_cm
from registry.dxa.cohort.sources import ImplantVariation
from registry.dxa.imaging.geometry import GRID, Grid

TITANIUM_DENSITY = 4.5
# Years of age, and the share of people with a replaced hip and a replaced knee. The values at 80 years are
# those of Maradit Kremers et al. (2015); below, the rise with age is assumed.
_PREVALENCE_YEARS = (40.0, 50.0, 60.0, 70.0, 80.0)
_PREVALENCE = {
    "hip": (0.0, 0.006, 0.016, 0.034, 0.0526),
    "knee": (0.0, 0.007, 0.026, 0.066, 0.1038),
}
BOTH_SIDES_SHARE = 0.3
_SIDE = {"left": "L", "right": "R"}
IMPLANTS = (
    *(f"{joint}_{side}" for joint in ("hip", "knee") for side in _SIDE),
    *(f"plate_{bone}_{side}" for bone in ("forearm", "leg") for side in _SIDE),
    "spine_rods",
    "fillings",
)
_FIXATIONS = tuple(name for name in IMPLANTS if name.startswith(("plate", "spine")))
ADULT_YEARS = 18.0


def sample_implants(
    variation: ImplantVariation, age_years: float, generator: np.random.Generator
) -> tuple[str, ...]:
    """Draw a person's implants; the number of random numbers used does not depend on the outcome."""
    chance, side, fixation = generator.random(2), generator.random((2, 2)), generator.random(2)
    filling = generator.random()
    found = []
    for number, joint in enumerate(_PREVALENCE):
        share = np.interp(age_years, _PREVALENCE_YEARS, _PREVALENCE[joint], left=0.0)
        if chance[number] < variation.joint_factor * share:
            first = "left" if side[number, 0] < 0.5 else "right"
            found.append(f"{joint}_{first}")
            if side[number, 1] < BOTH_SIDES_SHARE:
                found.append(f"{joint}_{'right' if first == 'left' else 'left'}")
    if age_years >= ADULT_YEARS:
        if fixation[0] < variation.fixation_share:
            found.append(_FIXATIONS[int(fixation[1] * len(_FIXATIONS))])
        if filling < variation.filling_share:
            found.append("fillings")
    return tuple(sorted(found))


def implant_map(
    model: BodyModel, body: Body, scale: float, implants: tuple[str, ...], grid: Grid = GRID
) -> Array | None:
    """Areal density of titanium in g/cm2, shape (rows, columns); None without implants.

    Parameters
    ----------
    model, body
        The placed body.
    scale
        Size over that of the reference adult.
    implants
        Of ``IMPLANTS``.
    grid
        Pixels.
    """
    if not implants:
        return None
    joint = {name: body.joints_cm[number] for name, number in model.bone_index.items()}
    chords = np.zeros(grid.shape)
    for name in implants:
        kind, _, rest = name.partition("_")
        side = _SIDE.get(rest.rpartition("_")[2], "L")
        if kind == "hip":
            chords += _hip(joint, side, scale, grid)
        elif kind == "knee":
            chords += _knee(joint, side, scale, grid)
        elif kind == "plate":
            bone = ("lowerarm01", "wrist") if rest.startswith("forearm") else ("lowerleg01", "foot")
            chords += _plate(joint[f"{bone[0]}.{side}"], joint[f"{bone[1]}.{side}"], scale, grid)
        elif kind == "spine":
            chords += _spine_rods(joint, scale, grid)
        else:
            chords += _fillings(joint["head"], scale, grid)
    return TITANIUM_DENSITY * chords


def _hip(joint: dict[str, Array], side: str, scale: float, grid: Grid) -> Array:
    """Cup and head in the socket, neck and stem in the shaft of the femur."""
    inward = -1.0 if side == "L" else 1.0
    hip, knee = joint[f"upperleg01.{side}"], joint[f"lowerleg01.{side}"]
    head = hip + scale * np.array([1.5 * inward, 0.0, 0.0])
    neck_end = hip + scale * np.array([-2.0 * inward, 0.0, -3.0])
    stem_end = neck_end + 0.38 * (knee - neck_end)
    cup = ellipsoid_chords_cm(head, scale * np.full(3, 2.5), wall_cm=0.35, grid=grid)
    ball = ellipsoid_chords_cm(head, scale * np.full(3, 1.4), grid=grid)
    stem = Rods.between(
        [(head, neck_end), (neck_end, stem_end)], scale * np.array([0.6, 0.65]), core_deficit=0.0
    )
    return cup + ball + stem.chords_cm(grid)


def _knee(joint: dict[str, Array], side: str, scale: float, grid: Grid) -> Array:
    """Shell over the condyles of the femur, tray on the tibia and its keel."""
    knee, ankle = joint[f"lowerleg01.{side}"], joint[f"foot.{side}"]
    down = (ankle - knee) / np.linalg.norm(ankle - knee)
    across = scale * np.array([3.3, 0.0, 0.0])
    shell = ellipsoid_chords_cm(
        knee + 1.0 * scale * np.array([0, 0, 1.0]), scale * np.array([3.4, 2.4, 2.2]), wall_cm=0.3, grid=grid
    )
    tray = knee + 1.6 * scale * down
    rods = Rods.between(
        [(tray - across, tray + across), (tray, tray + 4.0 * scale * down)],
        scale * np.array([0.35, 0.6]),
        core_deficit=0.0,
    )
    return shell + rods.chords_cm(grid)


def _plate(start: Array, end: Array, scale: float, grid: Grid) -> Array:
    """A plate along the far third of a shaft, with six screws."""
    first, last = start + 0.60 * (end - start), start + 0.92 * (end - start)
    offset = scale * np.array([0.9, 0.0, 0.0])
    screws = [
        (point + offset, point - offset)
        for point in (first + s * (last - first) for s in np.linspace(0, 1, 6))
    ]
    rods = Rods.between([(first + offset, last + offset), *screws], scale * np.array([0.3] + [0.15] * 6))
    return rods.chords_cm(grid)


def _spine_rods(joint: dict[str, Array], scale: float, grid: Grid) -> Array:
    """Two rods along the lumbar spine with their screws."""
    low, high = joint["spine05"], joint["spine03"]
    pairs, radii = [], []
    for sign in (1.0, -1.0):
        offset = scale * np.array([1.8 * sign, 0.0, 0.0])
        points = [low + offset + share * (high - low) for share in np.linspace(0.0, 0.9, 5)]
        pairs += list(pairwise(points)) + [(point, point - 0.7 * offset) for point in points]
        radii += [0.28] * 4 + [0.3] * 5
    return Rods.between(list(pairs), scale * np.array(radii), core_deficit=0.0).chords_cm(grid)


def _fillings(head: Array, scale: float, grid: Grid) -> Array:
    """Four crowns in the back teeth."""
    chords = np.zeros(grid.shape)
    for sign in (1.0, -1.0):
        for along in (0.0, 0.9):
            place = head + scale * np.array([2.0 * sign, -3.0, 1.0 + along])
            chords += ellipsoid_chords_cm(place, scale * np.array([0.4, 0.4, 0.35]), grid=grid)
    return chords
