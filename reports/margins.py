"""The largest difference between arms that does not matter: declared by a task's layout or by the suite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reports.errors import RecordsError
from reports.frame import Run


def margin_of(run: Run, task: str, layout: Mapping[str, Any], statistic: str, row: str) -> float | None:
    """The margin of a row in the statistic's unit; `None` where nobody declared one.

    The suite has precedence over the layout, and a row over its statistic. For the primary endpoint `row` is
    the name of its metric.

    Raises
    ------
    RecordsError
        If a margin is not a positive number.
    """
    declared = (run.meta["suite"].get("margins") or {}).get(task) or {}
    sources = {"run.json: suite.margins": declared, "layouts.json": layout.get("margins") or {}}
    for source, margins in sources.items():
        for key in (f"{statistic}.{row}", statistic):
            if key in margins:
                value = margins[key]
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                    raise RecordsError(
                        f"{source}: the margin {key!r} of task {task!r} is {value!r}",
                        mend="a margin is a positive number in the statistic's unit",
                    )
                return float(value)
    return None
