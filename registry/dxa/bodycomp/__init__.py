"""Body composition from six channels: an open analyser, and the door to clinical software.

Analysis goes one way: ``inversion`` solves each pixel, ``layer`` and ``baseline`` estimate the fat under
bone, ``maps`` puts a scan's densities together, ``region_network`` divides the body, ``outline`` and
``crotch`` give the silhouette's second opinion, ``analysis`` measures and flags. ``calibration`` holds one
straight line per measure, ``calibrating`` fits them to the subjects of ``subjects``. ``accuracy`` and
``precision`` study the analyser; ``analyser`` is the seam behind which it can be exchanged. ``external`` is
the exchange with other software: scans leave in a folder of ``blinding``, the ``worksheet`` comes back as
some ``spreadsheet`` saved it and has to have ``plausibility``; ``comparison`` sets two tables of measures
against each other. ``commands`` is the command line, over ``analysing``, which reads ``scan_files``, tells
them in ``wording``, draws each as a ``picture`` and writes ``output``.

Public names are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.dxa.bodycomp.analyser import BodyCompositionAnalyser as BodyCompositionAnalyser
    from registry.dxa.bodycomp.analyser import BuiltInAnalyser as BuiltInAnalyser
    from registry.dxa.bodycomp.analysis import FLAGS as FLAGS
    from registry.dxa.bodycomp.analysis import MEASURES as MEASURES
    from registry.dxa.bodycomp.analysis import Analysis as Analysis
    from registry.dxa.bodycomp.analysis import analyse as analyse
    from registry.dxa.bodycomp.calibration import Calibration as Calibration
    from registry.dxa.bodycomp.calibration import committed_calibration as committed_calibration
    from registry.dxa.bodycomp.calibration import read_calibration as read_calibration
    from registry.dxa.bodycomp.external import ExternalAnalyser as ExternalAnalyser

_HOME = {
    "BodyCompositionAnalyser": "analyser",
    "BuiltInAnalyser": "analyser",
    "FLAGS": "analysis",
    "MEASURES": "analysis",
    "Analysis": "analysis",
    "analyse": "analysis",
    "Calibration": "calibration",
    "committed_calibration": "calibration",
    "read_calibration": "calibration",
    "ExternalAnalyser": "external",
}
__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
