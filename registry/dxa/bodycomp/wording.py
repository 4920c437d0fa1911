"""An analysed scan in words and columns, for the terminal and for pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from registry.dxa.bodycomp.analysis import FLAGS, Flag
from registry.dxa.cohort.measures import COMPOSITION
from registry.dxa.imaging.channels import OFFSET_COUNTS

SIMULATED = "SIMULATED: no value is a clinical result."
#: Columns of the table of measures, with their units, in the order of the cohort's table.
COLUMNS = {"bmc": ("BMC", "kg"), "bmd": ("BMD", "g/cm2"), "fat": ("fat", "kg"), "lean": ("lean", "kg"),
           "mass": ("mass", "kg")}  # fmt: skip
MEANINGS: dict[Flag, str] = {
    "no_body": "nothing in it has a body's outline",
    "saturated": "pixels at the end of the scale, or too few photons to tell bone",
    "outside_field": "the body touches the border of the field",
    "limbs_touching": "an arm lies on or against the trunk: arm measures are less certain",
    "regions_unclear": "network and outline divide the body otherwise: regional measures are less certain",
    "implausible": "pixels without a physical solution: channels contradict each other",
}

_OF: dict[Flag, str] = {
    "saturated": "the body",
    "regions_unclear": "a region agreed on",
    "implausible": "the body",
}


def explained(flags: Iterable[str], shares: Mapping[Flag, float] = MappingProxyType({})) -> list[str]:
    """Flags in their order, each with what it means, and how far it goes where that is known."""
    raised = set(flags)
    return [f"{flag} ({_extent(flag, shares)}{MEANINGS[flag]})" for flag in FLAGS if flag in raised]


def _extent(flag: Flag, shares: Mapping[Flag, float]) -> str:
    return f"{shares[flag]:.1%} of {_OF[flag]}: " if flag in shares else ""


def cells_of(measures: Mapping[str, float]) -> list[tuple[str, list[str]]]:
    """Rows of the table of measures: arm, leg and total, a text for each of ``COLUMNS`` or nothing."""
    rows: dict[str, dict[str, str]] = {}
    for one in COMPOSITION:
        rows.setdefault(one.location, {})[one.quantity] = f"{measures[one.name]:.3f}"
    return [(place, [cells.get(quantity, "") for quantity in COLUMNS]) for place, cells in rows.items()]


def table_lines(measures: Mapping[str, float]) -> list[str]:
    """The table of measures with its head, for the terminal."""
    names, units = zip(*COLUMNS.values(), strict=True)
    lines = [("", names), ("", units), *cells_of(measures)]
    return [(f"  {head:<6}" + "".join(f"{cell:>9}" for cell in cells)).rstrip() for head, cells in lines]


def unanalysed(codes: npt.ArrayLike) -> str:
    """What to look at where a scan could not be analysed."""
    values = np.asarray(codes)
    return (
        f"no measures; values from {values.min():g} to {values.max():g}, where air is {OFFSET_COUNTS:g} and "
        "a body reaches thousands; rows have to go from head to feet"
    )
