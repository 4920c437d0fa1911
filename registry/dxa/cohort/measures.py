"""The table of measures: 15 of the body's surface, 13 of its composition, in the paper's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """One column of a cohort's subjects.

    Parameters
    ----------
    name
        The column, with its unit.
    label
        For tables and figures.
    quantity, location
        As the published tables call them.
    unit
        Of the values.
    family
        ``anthropometry`` is taken from the rest-pose surface, ``composition`` from the density maps.
    """

    name: str
    label: str
    quantity: str
    location: str
    unit: str
    family: Literal["anthropometry", "composition"]


def _girth(location: str, name: str) -> Measure:
    return Measure(
        f"circumference_{name}_cm",
        f"{location} circumference",
        "circumference",
        location,
        "cm",
        "anthropometry",
    )


def _volume(location: str, name: str) -> Measure:
    return Measure(f"volume_{name}_l", f"{location} volume", "volume", location, "L", "anthropometry")


ANTHROPOMETRY: tuple[Measure, ...] = (
    _girth("Bicep Left", "bicep_left"),
    _girth("Bicep Right", "bicep_right"),
    _girth("Calf Left", "calf_left"),
    _girth("Calf Right", "calf_right"),
    _girth("Hip", "hip"),
    _girth("Thigh Left", "thigh_left"),
    _girth("Thigh Right", "thigh_right"),
    _girth("Waist", "waist"),
    Measure("surface_area_m2", "Surface area", "surface area", "Whole Body", "m2", "anthropometry"),
    _volume("Arm Left", "arm_left"),
    _volume("Arm Right", "arm_right"),
    _volume("Leg Left", "leg_left"),
    _volume("Leg Right", "leg_right"),
    _volume("Torso", "torso"),
    _volume("Total", "total"),
)

_COMPOSITION_UNITS = {"bmc": "kg", "bmd": "g/cm2", "fat": "kg", "lean": "kg"}
_COMPOSITION_LABELS = {"bmc": "BMC", "bmd": "BMD", "fat": "fat mass", "lean": "lean mass"}


def _composition(location: str, quantity: str) -> Measure:
    unit = _COMPOSITION_UNITS[quantity]
    suffix = unit.replace("/", "_")
    return Measure(
        f"{location.lower()}_{quantity}_{suffix}",
        f"{location} {_COMPOSITION_LABELS[quantity]}",
        quantity,
        location,
        unit,
        "composition",
    )


COMPOSITION: tuple[Measure, ...] = (
    *(_composition(place, quantity) for place in ("Arm", "Leg", "Total") for quantity in _COMPOSITION_UNITS),
    Measure("total_mass_kg", "Total mass", "mass", "Total", "kg", "composition"),
)

MEASURES: dict[str, Measure] = {measure.name: measure for measure in (*ANTHROPOMETRY, *COMPOSITION)}
