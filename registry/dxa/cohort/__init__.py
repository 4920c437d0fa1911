"""Cohorts: simulated or imported scans with what is known about their subjects.

Reading (``store``, ``manifest``, ``splits``, ``measures``) is the same for every kind; ``inspection`` and
``packed_split`` read a cohort whole and list its defects, ``dividing`` puts its patients into other splits.
Simulation goes one way: ``phenotypes`` and ``bodies`` make a body, ``variation`` makes it its own,
``individual`` what is inside, ``pose`` lays it on the table; ``projection``, ``primitives``, ``skeleton``,
``organs``, ``implants`` and ``composition`` turn it into density maps, the scanner of
``registry.dxa.imaging`` into channels; ``anthropometry`` and ``truth`` measure it; ``subject`` ties this
into one patient and ``build`` patients into a folder. ``rig`` names the anatomy that all of them share,
``sources`` says how much everything varies.

Real data: ``declaration``, ``layout`` and ``contents`` read a folder and list its ``defects``, ``importing``
packs it. ``page``, ``pictures``, ``overview``, ``published`` and ``variety`` show a cohort, ``commands`` is
its command line.

Public names are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.dxa.cohort.build import build_cohort as build_cohort
    from registry.dxa.cohort.inspection import verify as verify
    from registry.dxa.cohort.manifest import Manifest as Manifest
    from registry.dxa.cohort.manifest import read_manifest as read_manifest
    from registry.dxa.cohort.measures import ANTHROPOMETRY as ANTHROPOMETRY
    from registry.dxa.cohort.measures import COMPOSITION as COMPOSITION
    from registry.dxa.cohort.measures import MEASURES as MEASURES
    from registry.dxa.cohort.specification import CohortSpecification as CohortSpecification
    from registry.dxa.cohort.specification import PartSpecification as PartSpecification
    from registry.dxa.cohort.splits import check_no_leak as check_no_leak
    from registry.dxa.cohort.store import Split as Split
    from registry.dxa.cohort.store import open_split as open_split

_HOME = {
    "build_cohort": "build",
    "Manifest": "manifest",
    "read_manifest": "manifest",
    "ANTHROPOMETRY": "measures",
    "COMPOSITION": "measures",
    "MEASURES": "measures",
    "CohortSpecification": "specification",
    "PartSpecification": "specification",
    "check_no_leak": "splits",
    "Split": "store",
    "open_split": "store",
    "verify": "inspection",
}
__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
