"""Commands that domains add to the command line, by lazy name: the engine imports no domain to list them."""

from __future__ import annotations

#: Command to its module, its function and the line that the overview shows.
DOMAIN_COMMANDS = {
    "weights": (
        "registry.dxa.models.commands",
        "weights",
        "DXA: list, fetch and verify pretrained weights.",
    ),
    "data": ("registry.dxa.cohort.commands", "data", "DXA: make, import, check and show cohorts."),
    "bodycomp": (
        "registry.dxa.bodycomp.commands",
        "bodycomp",
        "DXA: measure body composition, or exchange scans with other software.",
    ),
    "predict": (
        "registry.dxa.predict.commands",
        "predict",
        "DXA: apply a run's trained model to new scans or body surfaces.",
    ),
}
