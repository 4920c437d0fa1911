"""What a whole worksheet must satisfy, whatever measured it: slips that no single value shows.

Only measures of real scans are asked: a generated one may be wrong in any way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.dxa.bodycomp.analysis import MEASURES
from registry.dxa.bodycomp.worksheet import some

Array = npt.NDArray[np.float64]

#: The area of bone, BMC over BMD, is some 900 cm2 in a child of six and 2,700 in a large man. Masses in
#: pounds multiply it by 2.2.
BONE_AREA_CM2 = (300.0, 3000.0)
#: Median of what fat, lean mass and BMC lack to total mass, as a share: more is another quantity than asked.
LARGEST_CLOSURE = 0.05
#: From here on somebody should look; lean mass that holds the bone is off by the BMC, 2 to 4 %.
NOTED_CLOSURE = 0.015
# Of rounding, and of pixels that two regions share.
_TOLERANCE_KG = 0.05


def check_plausible(results: Path, scan_ids: Sequence[str], values: npt.ArrayLike) -> list[str]:
    """Check the measures of real scans against each other.

    Parameters
    ----------
    results
        Where they come from, for messages.
    scan_ids
        As they stand there.
    values
        In the order of ``MEASURES``, NaN where a scan could not be analysed, shape (scans, 13).

    Returns
    -------
    list
        What is odd, but may be right.

    Raises
    ------
    InputError
        If the masses cannot be in kg, or a part outweighs the whole.
    """
    table = np.asarray(values, dtype=np.float64).reshape(-1, len(MEASURES))
    measured = np.asarray(np.isfinite(table).all(axis=1))
    if not measured.any():
        return []
    of = dict(zip(MEASURES, table[measured].T, strict=True))
    names = [name for name, kept in zip(scan_ids, measured, strict=True) if kept]
    _check_bone_area(results, of["total_bmc_kg"], of["total_bmd_g_cm2"])
    _check_parts(results, names, of)
    closure = of["total_fat_kg"] + of["total_lean_kg"] + of["total_bmc_kg"] - of["total_mass_kg"]
    share = float(np.median(closure / np.maximum(of["total_mass_kg"], 1.0)))
    told = f"fat, lean mass and BMC together differ from total mass by {share:+.1%} (median of {len(names)})"
    if abs(share) > LARGEST_CLOSURE:
        raise InputError(
            f"{results}: {told}", mend="look for a column that holds another quantity, such as percent fat"
        )
    if abs(share) > NOTED_CLOSURE:
        return [f"{told}: does lean mass hold the bone? The worksheet wants it without"]
    return []


def _check_bone_area(results: Path, bmc_kg: Array, bmd_g_cm2: Array) -> None:
    low, high = BONE_AREA_CM2
    area = float(np.median(1000 * bmc_kg / np.maximum(bmd_g_cm2, 0.01)))
    if not low <= area <= high:
        raise InputError(
            f"{results}: total BMC over BMD makes {area:,.0f} cm2 of bone (median of {len(bmc_kg)}); "
            f"people have {low:,.0f} to {high:,.0f}",
            mend="give masses in kg (1 lb is 0.4536 kg) and BMD in g/cm2",
        )


def _check_parts(results: Path, names: Sequence[str], of: Mapping[str, Array]) -> None:
    limbs = {
        f"total_{what}_kg": of[f"arm_{what}_kg"] + of[f"leg_{what}_kg"] for what in ("bmc", "fat", "lean")
    }
    for parts, whole, told in (
        *((value, whole, "arms and legs together have more than") for whole, value in limbs.items()),
        (of["total_fat_kg"], "total_mass_kg", "'total_fat_kg' is more than"),
    ):
        wrong = [name for name, more in zip(names, parts > of[whole] + _TOLERANCE_KG, strict=True) if more]
        if wrong:
            raise InputError(
                f"{results}: {told} '{whole}' in {some(wrong)}",
                mend="look for columns that were exchanged or hold another unit or quantity",
            )
