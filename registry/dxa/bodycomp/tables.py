"""The studies of the analyser as Markdown tables, for its documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from registry.dxa.bodycomp.accuracy import GROUPS, LIMITS, AccuracyStudy
from registry.dxa.bodycomp.precision import Precision
from registry.dxa.cohort.measures import COMPOSITION


def accuracy_markdown(study: AccuracyStudy) -> str:
    """R2 and RMSE of every measure: oracle and blind over all ages, calibrated by group."""
    head = ["measure", "unit", "oracle RMSE", "blind RMSE", "blind R2"]
    head += [f"{what}, {group}" for group in GROUPS for what in ("R2", "RMSE")]
    rows = []
    for measure in COMPOSITION:
        oracle, blind = study.row(measure.name, "oracle"), study.row(measure.name, "blind")
        row = [measure.label, measure.unit, f"{oracle.rmse_percent:.2f} %", f"{blind.rmse_percent:.1f} %"]
        row.append(f"{blind.r2:.3f}")
        for group in GROUPS:
            found = study.row(measure.name, "calibrated", group)
            row += [f"{found.r2:.3f}", f"{found.rmse:.3g}"]
        rows.append(row)
    return _table(head, rows)


def limits_markdown(study: AccuracyStudy) -> str:
    """Squared correlation of regional measures with the maps or the regions taken from the truth."""
    head = ["measure", "estimated maps, true regions", "true maps, automatic regions", "both, calibrated"]
    rows = [
        [
            measure.label,
            f"{study.row(measure.name, 'maps_only').r2_pearson:.3f}",
            f"{study.row(measure.name, 'regions_only').r2_pearson:.3f}",
            f"{study.row(measure.name, 'calibrated').r2_pearson:.3f}",
        ]
        for measure in COMPOSITION
        if measure.location in ("Arm", "Leg")
    ]
    return _table(head, rows)


def causes_markdown(study: AccuracyStudy) -> str:
    """Squared correlation of the arms' measures, one cause of error after the other taken away, by group."""
    head = ["measure", "group", "what users get", "noise off", "fat under bone known", "true regions"]
    head.append("fat known, true regions")
    rows = [
        [
            measure.label,
            group,
            *(f"{study.row(measure.name, condition, group).r2_pearson:.3f}" for condition in LIMITS),
        ]
        for measure in COMPOSITION
        if measure.location == "Arm"
        for group in GROUPS
    ]
    return _table(head, rows)


def noise_markdown(cv_percent: Mapping[str, float]) -> str:
    """What noise alone does."""
    return _table(
        ["measure", "noise-only CV"], [[m.label, f"{cv_percent[m.name]:.2f} %"] for m in COMPOSITION]
    )


def regions_markdown(study: AccuracyStudy) -> str:
    """Overlap of automatic and true regions."""
    rows = [
        [region.region.replace("_", " "), f"{region.median_overlap:.3f}", f"{region.least_overlap:.3f}"]
        for region in study.regions
    ]
    return _table(["region", "median overlap", "least overlap"], rows)


def precision_markdown(precisions: Iterable[Precision]) -> str:
    """RMS-SD, RMS-CV and LSC."""
    found = {precision.measure: precision for precision in precisions}
    rows = [
        [
            measure.label,
            measure.unit,
            f"{found[measure.name].rms_sd:.3g}",
            f"{found[measure.name].rms_cv_percent:.2f} %",
            f"{found[measure.name].lsc:.3g}",
        ]
        for measure in COMPOSITION
    ]
    return _table(["measure", "unit", "RMS-SD", "RMS-CV", "LSC"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
