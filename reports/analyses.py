"""What stands beside the tables: every further analysis of a run, for the page and its twin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reports.ablations import Ablations, ablations
from reports.budgets import Budget, budgets
from reports.comparison import Comparison, StatisticTable
from reports.controls import Control, controls
from reports.cost_quality import CostQuality, cost_quality
from reports.fillings import RULES, Fillings, fillings
from reports.frame import Run
from reports.labels import LabelEfficiency, label_efficiency
from reports.robustness import Robustness, robustness
from reports.searches import Search, searches

#: What a run must hold for each analysis; shown where it is empty.
NEEDS: Mapping[str, str] = {
    "labels": "final trials on a part of the labels (`label_fraction`)",
    "ablations": "arms derived from others by changing named factors",
    "controls": "control arms: the same arm with other seeds, shuffled labels, broken physics",
    "robustness": "final trials with results",
    "budgets": "`search.parquet`, a row per search of an arm; runs of earlier versions lack it",
    "searches": "tuning trials with validation scores",
    "costs": "two arms with results and recorded seconds",
    "fillings": "test scans that some arm could not analyse; here every arm analysed every scan",
}


@dataclass(frozen=True)
class Analyses:
    """Every further analysis; an empty tuple where the run lacks what `NEEDS` names."""

    labels: tuple[LabelEfficiency, ...]
    ablations: tuple[Ablations, ...]
    controls: tuple[Control, ...]
    robustness: tuple[Robustness, ...]
    budgets: tuple[Budget, ...]
    searches: tuple[Search, ...]
    costs: tuple[CostQuality, ...]
    fillings: tuple[Fillings, ...]


def cautions(found: Analyses, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """What these analyses say against the main result: failed controls, verdicts that hang on gaps."""
    for one in found.controls:
        if one.passed is False:
            yield f"{one.title} ({' and '.join(one.protocols)}), control {one.name}: {one.sentence}"
    main = {(one.task, one.protocols): one for one in comparisons}
    for gaps in found.fillings:
        comparison = main[gaps.task, gaps.protocols]
        titles = {column.key: column.title for column in comparison.columns}
        before = _verdicts(comparison.endpoint)
        for filled in gaps.tables:
            after = _verdicts(filled.endpoint) if filled.endpoint else {}
            changed = [
                f"{titles[first]} against {titles[second]}"
                for (first, second), word in after.items()
                if word != before.get((first, second))
            ]
            if changed:
                yield (
                    f"{gaps.title} ({' and '.join(gaps.protocols)}): with {RULES[filled.method]},"
                    f" the verdict changes for {', '.join(changed)}."
                )


def _verdicts(endpoint: StatisticTable) -> dict[tuple[str, str], str]:
    return {
        (one.first, one.second): difference.verdict
        for one in endpoint.contrasts
        if one.kind != "baseline"
        for difference in one.differences
        if difference is not None
    }


def analyse(run: Run, comparisons: Sequence[Comparison], draws: int) -> Analyses:
    """Run every analysis that the records allow."""
    labels = [label_efficiency(run, one, draws) for one in comparisons]
    strips = [robustness(run, one) for one in comparisons]
    costs = [cost_quality(run, one) for one in comparisons]
    tuned = [searches(run, task) for task in run.tasks.values()]
    return Analyses(
        tuple(one for one in labels if one is not None),
        tuple(study for one in comparisons for study in ablations(run, one, draws)),
        tuple(control for one in comparisons for control in controls(run, one, draws)),
        tuple(one for one in strips if one is not None),
        tuple(budgets(run)),
        tuple(one for one in tuned if one is not None),
        tuple(one for one in costs if one is not None),
        tuple(filled for one in comparisons for filled in fillings(run, one, draws)),
    )
