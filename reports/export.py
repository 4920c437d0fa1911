"""The numbers outside the page: `report.json`, and a CSV file for every table."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reports.analyses import NEEDS
from reports.comparison import Comparison, StatisticTable, Table
from reports.contents import Contents
from reports.frame import Run
from reports.statistics.bootstrap import PATIENT_DRAWS
from reports.statistics.intervals import LEVEL
from reports.statistics.tests import ALPHA, POWER

SCHEMA = 1

PLACE = ("simulated", "task", "protocol", "table", "statistic", "row", "label")
INTERVAL = ("value", "low", "high", "standard_error", "degrees_of_freedom")
VALUES = (
    *PLACE,
    "group",
    "unit",
    "kind",
    "entry",
    *INTERVAL,
    "patients",
    "scans",
    "trials",
    "resampled",
    "units",
    "published",
    "missing",
)
DIFFERENCES = (
    *PLACE,
    "first",
    "second",
    *INTERVAL,
    "p",
    "p_adjusted",
    "correction",
    "adjusted_low",
    "adjusted_high",
    "verdict",
    "margin",
    "p_equivalence",
    "material",
    "minimum_detectable",
    "bca_low",
    "bca_high",
    "p_flip",
    "p_max_t",
    "patients",
    "pairing",
)

AGREEMENT = (*PLACE, "unit", "entry", "pretraining_seed", "seed", *INTERVAL, "people")
ESTIMATES = ("bias", "lower", "upper", "concordance", "slope", "deming")
UNITLESS = frozenset({"concordance", "slope", "deming"})


def safe_name(text: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def twin(contents: Contents) -> dict[str, Any]:
    """`report.json`: every number of the page, what it estimates and how its interval was made."""
    run, draws = contents.run, contents.draws
    return {
        "schema": SCHEMA,
        "simulated": run.simulated,
        "suite": run.meta["suite"]["name"],
        "cohort": run.meta["cohort"]["fingerprint"],
        "claims": run.meta["claims"],
        "status": run.meta["status"],
        "method": {
            "estimand": "mean over seeds of the statistic on test; differences are paired by patient",
            "interval": "value +- t(degrees_of_freedom) * standard_error",
            "standard_error": "crossed bootstrap over seeds and patients",
            "level": LEVEL,
            "draws": draws,
            "p": "two-sided, from t",
            "p_adjusted": "Holm over the rows of a table and contrast; for the endpoint over all contrasts;"
            " Benjamini-Hochberg (`correction` bh) over the rows of plug-ins",
            "verdict": "better, worse: p_adjusted < alpha; equivalent: p_equivalence < alpha (two one-sided"
            " tests against the declared margin, corrected likewise); material: beyond the margin",
            "bca": f"patients alone, seeds as they are; {min(draws, PATIENT_DRAWS)} draws",
            "p_flip": "two-sided, signs of the patients' differences in loss flipped; seeds as they are",
            "p_max_t": "the same, step-down max-T over the rows of a table and contrast",
            "alpha": ALPHA,
            "minimum_detectable": f"difference found with a power of {POWER}, uncorrected",
        },
        "answers": [asdict(one) for one in contents.answers],
        "warnings": list(contents.warnings),
        "analyses": asdict(contents.analyses),
        "needs": dict(NEEDS),
        "tuning": {
            "seeds": contents.seed_use,
            "pretraining": asdict(contents.pretraining[0]) if contents.pretraining else None,
            "tasks": [asdict(one) for one, _ in contents.tuning],
        },
        "checklists": [asdict(one) for one in contents.checklists],
        "comparisons": [_without_people(asdict(one)) for one in contents.comparisons],
    }


def _without_people(comparison: dict[str, Any]) -> dict[str, Any]:
    """The comparison without single people's values, which only pictures need."""
    for table in comparison["tables"]:
        for arm in table["agreement"]:
            del arm["pairs"]
    return comparison


def to_json(value: Any) -> str:
    """JSON that never holds NaN and does not depend on hash order."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=False) + "\n"


def table_name(comparison: Comparison, table: Table) -> str:
    """File name of a table, without suffix."""
    return safe_name(f"{comparison.task}-{'-'.join(comparison.protocols)}-{table.key}")


def values_csv(run: Run, comparison: Comparison, table: Table) -> str:
    """Every cell of a table, one per line."""
    return _csv(VALUES, value_rows(run, comparison, table))


def differences_csv(run: Run, comparison: Comparison, table: Table) -> str:
    """Every paired difference of a table, one per line."""
    return _csv(DIFFERENCES, difference_rows(run, comparison, table))


def agreement_file(run: Run, comparison: Comparison, table: Table) -> list[tuple[str, str, str]]:
    """Suffix, words and text of the agreement of every arm; nothing where the table has no predictions."""
    if not table.agreement:
        return []
    return [("-agreement.csv", "agreement (CSV)", _csv(AGREEMENT, _agreement(run, comparison, table)))]


def _agreement(run: Run, comparison: Comparison, table: Table) -> Iterator[Mapping[str, Any]]:
    for arm in table.agreement:
        for line, found, within in zip(table.statistics[0].lines, arm.rows, arm.within, strict=True):
            if found is None:
                continue
            fixed = {
                **_place(run, comparison, table, table.statistics[0]),
                "row": line.key,
                "label": line.label,
                "entry": arm.column,
                "pretraining_seed": arm.seeds[0],
                "seed": arm.seeds[1],
                "people": found.people,
            }
            for name in ESTIMATES:
                unit = "" if name in UNITLESS else line.unit
                yield {**fixed, "statistic": name, "unit": unit, **asdict(getattr(found, name))}
            for name in ("spread", "rmse"):
                yield {**fixed, "statistic": name, "unit": line.unit, "value": getattr(found, name)}
            if line.key in table.least_significant_changes:
                change = table.least_significant_changes[line.key]
                yield {**fixed, "statistic": "least_significant_change", "unit": line.unit, "value": change}
                yield {**fixed, "statistic": "share_within_it", "unit": "", "value": within}


def value_rows(run: Run, comparison: Comparison, table: Table) -> Iterator[Mapping[str, Any]]:
    """Every cell of a table with the fields of `VALUES`."""
    for statistic in table.statistics:
        for line in statistic.lines:
            for column in comparison.shown_in(table):
                cell = line.cells[column.key]
                yield {
                    **_place(run, comparison, table, statistic),
                    "row": line.key,
                    "label": line.label,
                    "group": line.group,
                    "unit": line.unit,
                    "kind": "baseline" if column.baseline else "arm",
                    "entry": column.name,
                    **({} if cell is None else asdict(cell)),
                    "patients": line.patients,
                    "scans": line.scans,
                    "trials": column.done,
                    "resampled": "patients" if column.unit == "none" else f"patients and {column.unit} seeds",
                    "units": column.units,
                    "published": line.published.get(column.key, {}).get("value"),
                    "missing": column.missing,
                }
            for arm, published in line.published_elsewhere.items():
                yield {
                    **_place(run, comparison, table, statistic),
                    "row": line.key,
                    "label": line.label,
                    "group": line.group,
                    "unit": line.unit,
                    "kind": "published",
                    "entry": arm,
                    "published": published["value"],
                }


def difference_rows(run: Run, comparison: Comparison, table: Table) -> Iterator[Mapping[str, Any]]:
    """Every paired difference of a table with the fields of `DIFFERENCES`."""
    for statistic in table.statistics:
        for contrast in statistic.contrasts:
            for line, difference in zip(statistic.lines, contrast.differences, strict=True):
                if difference is not None:
                    yield {
                        **_place(run, comparison, table, statistic),
                        "row": line.key,
                        "label": line.label,
                        "first": contrast.first,
                        "second": contrast.second,
                        **asdict(difference.estimate),
                        **asdict(difference),
                        **(asdict(difference.companions) if difference.companions else {}),
                        "patients": line.patients,
                        "pairing": contrast.pairing,
                    }


def _place(run: Run, comparison: Comparison, table: Table, statistic: StatisticTable) -> dict[str, Any]:
    return {
        "simulated": str(run.simulated).lower(),
        "task": comparison.task,
        "protocol": "+".join(comparison.protocols),
        "table": table.key,
        "statistic": statistic.name,
    }


def _csv(fields: Sequence[str], lines: Iterator[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: _harmless(line.get(name)) for name in fields})
    return stream.getvalue()


def _harmless(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value
