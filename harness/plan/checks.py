"""What a suite may not ask for, found before anything is planned."""

from __future__ import annotations

from collections.abc import Mapping

from harness.arms import Arm
from harness.suite import Suite
from registry.catalog import unknown_name
from registry.contracts import InputError, Task


def check_domains(suite: Suite, arms: Mapping[str, Arm], tasks: Mapping[str, Task]) -> None:
    """Strategies and tasks must be of the suite's domain."""
    for kind, cards in (
        ("strategy", {name: arm.card for name, arm in arms.items()}),
        ("task", {name: task.card for name, task in tasks.items()}),
    ):
        for name, card in cards.items():
            if card.domain != suite.domain:
                raise InputError(
                    f"{kind} {name!r} belongs to domain {card.domain!r}, the suite to {suite.domain!r}",
                    mend=f"take {name!r} out, or use a suite of its domain",
                )


def check_judgements(suite: Suite, tasks: Mapping[str, Task]) -> None:
    """Margins and endpoints must be about rows and statistics that a task's tables have."""
    for name, margins in suite.margins.items():
        for key in margins:
            statistic, _, row = key.partition(".")
            _check_shown(f"margins.{name}", tasks[name], statistic, (row,) if row else ())
    for name, endpoint in suite.endpoints.items():
        _check_shown(f"endpoints.{name}", tasks[name], endpoint.statistic, endpoint.rows)


def _check_shown(field: str, task: Task, statistic: str, rows: tuple[str, ...]) -> None:
    shown: dict[str, set[str]] = {}
    for layout in task.layouts():
        for column in layout.statistics:
            shown.setdefault(column.name, set()).update(row.key for row in layout.rows)
    if statistic not in shown:
        raise InputError(
            f"{field}: {task.card.title} shows no {statistic!r}", mend=f"it shows {', '.join(sorted(shown))}"
        )
    for row in rows:
        if row not in shown[statistic]:
            hint = unknown_name("row", row, shown[statistic])
            raise InputError(f"{field}: {task.card.title} has no row {row!r}", mend=hint.mend)
