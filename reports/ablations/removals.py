"""One thing changed at a time: the base without it, and arms that declare the base as their parent."""

from __future__ import annotations

from reports.ablations.findings import Effect
from reports.ablations.study import Study, changes_of


def removals(study: Study) -> tuple[Effect, ...]:
    """The base minus the arm without one thing that it has."""
    found = study.of("leave_one_out").items()
    return study.family(
        "removal", [study.row(changes, study.key, f"arm:{arm['name']}") for changes, arm in found]
    )


def children(study: Study) -> tuple[Effect, ...]:
    """Arms minus the parent that they declare."""
    rows = []
    for arm in study.children:
        changes = changes_of(arm["changes"])
        weights, factors, _, note = study.row(changes, f"arm:{arm['name']}", study.key)
        rows.append((weights, factors, study.words(changes, back=False), note))
    return study.family("child", rows)
