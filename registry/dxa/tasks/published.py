"""Values printed in the paper, kept as data beside the tasks."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib import resources

from registry.contracts import PublishedValue

SOURCE = "arXiv 2206.06663"


def published_values(table: str, *, statistics: Mapping[str, str]) -> tuple[PublishedValue, ...]:
    """Read the printed values of one table.

    Parameters
    ----------
    table
        Name of a file in `data/`, without its ending; columns `row`, `statistic`, `arm`, `value`,
        `note`.
    statistics
        Printed statistic to the statistic of ours that it is shown beside.
    """
    text = resources.files("registry.dxa.tasks").joinpath(f"data/{table}.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedValue(
            row=line["row"],
            statistic=statistics[line["statistic"]],
            arm=line["arm"],
            value=float(line["value"]),
            note=line["note"],
        )
        for line in csv.DictReader(text.splitlines())
    )
