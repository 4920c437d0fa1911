"""Everything that the report shows, computed once: the page, the exports and the files show this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from reports.ablations import Ablations
from reports.analyses import Analyses, analyse
from reports.analyses import cautions as against
from reports.answer import Answer, answer, warnings
from reports.budgets import Budget
from reports.comparison import Comparison
from reports.cost_quality import CostQuality
from reports.curves import CurvePanel, pretraining_curves
from reports.draws import parallel_figure, search_figure
from reports.evidence import Checklist, Flow, Overlap, checklists, flow, overlaps, readers, weights
from reports.figures import (
    Figure,
    agreement_panels,
    arm_styles,
    draws_figure,
    endpoint_figure,
    forest_figures,
    ranks_figure,
    styles,
)
from reports.frame import Run, read_run
from reports.labels import LabelEfficiency
from reports.measured import with_measurements
from reports.multiples import sheet
from reports.pictures import BUDGET, ExhibitView, exhibits
from reports.robustness import Robustness
from reports.sample import readable
from reports.searches import Search
from reports.studies import ablation_figures, cost_figure, labels_figure, look_of, strips_figure
from reports.svg import Style
from reports.tables import compare
from reports.tuning import Cost, TaskTuning, costs, pretraining_tuning, seed_use, tuning


@dataclass(frozen=True)
class Block:
    """A task under a protocol, with its pictures.

    Parameters
    ----------
    forests
        By table and statistic: paired differences, a figure per axis.
    agreement
        By table and column: two panels per row, predictions over targets and errors.
    exhibits
        Example scans, and how many were left out to keep the page small.
    strips, splits
        Single trials on the cohort's own split, and on all of them.
    """

    data: Comparison
    answer: Answer
    styles: Mapping[str, Style]
    endpoint: Figure | None
    ranks: Figure | None
    forests: Mapping[tuple[str, str], list[Figure]]
    agreement: Mapping[tuple[str, str], list[tuple[str, str]]]
    exhibits: tuple[list[ExhibitView], int]
    robustness: Robustness | None
    strips: Figure | None
    splits: Figure | None

    def figures(self) -> Iterator[Figure]:
        """The figures of the block, small multiples as one sheet each."""
        if self.endpoint:
            yield self.endpoint
        for forests in self.forests.values():
            yield from forests
        titles = {column.key: column.title for column in self.data.columns}
        names = {column.key: column.name for column in self.data.columns}
        for (table, column), panels in self.agreement.items():
            if panels:
                key = f"agreement-{self.data.task}-{'-'.join(self.data.protocols)}-{table}-{names[column]}"
                summary = f"Agreement person by person: {titles[column]}"
                yield Figure(key, sheet(list(chain.from_iterable(panels)), summary), summary)
        yield from filter(None, (self.ranks, self.strips, self.splits))


@dataclass(frozen=True)
class Contents:
    """What a report is made of; `draws` is the number of resamples."""

    run: Run
    draws: int
    blocks: tuple[Block, ...]
    warnings: tuple[str, ...]
    analyses: Analyses
    arm_styles: Mapping[str, Style]
    curves: tuple[list[CurvePanel], int]
    labels: tuple[tuple[LabelEfficiency, Figure], ...]
    ablations: tuple[tuple[Ablations, Mapping[str, Figure]], ...]
    costs_figures: tuple[tuple[CostQuality, Figure], ...]
    pretraining: tuple[TaskTuning, Figure | None] | None
    tuning: tuple[tuple[TaskTuning, Figure | None], ...]
    searches: Mapping[str, tuple[Search, Figure | None]]
    parallel: Mapping[str, tuple[Figure, int, int] | None]
    costs: tuple[Cost, ...]

    @cached_property
    def checklists(self) -> list[Checklist]:
        """Reporting guidelines, filled with what the run proves."""
        shown = sum(len(block.exhibits[0]) for block in self.blocks)
        return checklists(self.run, self.comparisons, self.warnings, shown)

    @cached_property
    def margins(self) -> list[str]:
        """The margins that stand behind the tables, each once, in words."""
        found = dict.fromkeys(
            f"{one.title}, {statistic.label}: \N{PLUS-MINUS SIGN}{difference.margin:g} {line.unit}".rstrip()
            for one in self.comparisons
            for table in one.tables
            for statistic in table.statistics
            for contrast in statistic.contrasts
            for line, difference in zip(statistic.lines, contrast.differences, strict=True)
            if difference is not None and difference.margin is not None
        )
        return list(found)

    @property
    def flow(self) -> list[Flow]:
        """The way of the test scans into the tables."""
        return list(flow(self.comparisons))

    @property
    def overlaps(self) -> list[Overlap] | None:
        """Patients that two splits share, where the run records it."""
        return overlaps(self.run)

    @property
    def test_readers(self) -> dict[str, int]:
        """Final trials that read the test split, by task."""
        return readers(self.run)

    @cached_property
    def weights(self) -> list[dict[str, Any]]:
        """Pretraining trials with the digest of what they made."""
        return weights(self.run)

    @cached_property
    def _makers(self) -> dict[str, str]:
        return {one["artifact"]: one["key"] for one in reversed(self.weights) if one["artifact"]}

    def maker(self, trial: Mapping[str, Any]) -> str:
        """Key of the pretraining trial whose weights a trial started from; empty for that trial itself."""
        found = self._makers.get(trial["artifact"], "")
        return "" if found == trial["key"] or trial["stage"] == "pretrain" else found

    @property
    def comparisons(self) -> list[Comparison]:
        """Every task under every protocol."""
        return [block.data for block in self.blocks]

    @property
    def answers(self) -> list[Answer]:
        """What each comparison says."""
        return [block.answer for block in self.blocks]

    def look(self, column: str) -> Style:
        """Colour and marker of a column by its key."""
        return look_of(self.arm_styles, column)

    def title(self, column: str) -> str:
        """What a column is called, by its key."""
        kind, _, name = column.partition(":")
        return readable(name) if kind == "baseline" else str(self.run.arms[name]["title"])

    @property
    def seed_use(self) -> list[str]:
        """Whether the seeds of tuning are judged too, in sentences; none where runs were joined."""
        joined = "runs" in self.run.meta["provenance"]
        return [] if joined else seed_use(self.run.meta["suite"])

    def budget(self, task: str | None) -> Budget | None:
        """What the arms could spend on a task, or on pretraining, in the main analysis."""
        return next((one for one in self.analyses.budgets if one.task == task and one.main), None)

    @property
    def other_budgets(self) -> list[Budget]:
        """Budgets on parts of the labels and on repeated splits."""
        return [one for one in self.analyses.budgets if not one.main]

    def search(self, task: str) -> tuple[Search, Figure | None] | tuple[None, None]:
        """What tuning budgets buy at a task."""
        return self.searches.get(task, (None, None))

    def figures(self) -> Iterator[Figure]:
        """Every figure of the page that is not made of pixels, in the order of the page."""
        for block in self.blocks:
            yield from block.figures()
        yield from (figure for _, figure in self.labels)
        for _, found in self.ablations:
            yield from found.values()
        yield from (figure for _, figure in self.costs_figures)
        if self.curves[0]:
            panels = [panel.svg for panel in self.curves[0]]
            yield Figure("pretraining-curves", sheet(panels, "Learning curves of pretraining"), "")
        if self.pretraining and self.pretraining[1]:
            yield self.pretraining[1]
        for tuned, figure in self.tuning:
            drawn = self.parallel[tuned.task]
            yield from filter(None, (self.search(tuned.task)[1], drawn[0] if drawn else None, figure))


def read_contents(folder: Path, draws: int) -> Contents:
    """Read the records of a run and compute all that is shown.

    Raises
    ------
    RecordsError
        If a record is missing, unreadable or contradicts another one.
    """
    return contents_of(with_measurements(read_run(folder)), draws)


def contents_of(run: Run, draws: int, cautions: Sequence[str] = ()) -> Contents:
    """Compute all that is shown of a run; `cautions` come before the warnings that it finds itself."""
    comparisons = compare(run, draws)
    answers = [answer(one) for one in comparisons]
    looks = arm_styles([*run.main_arms, *(name for name in run.arms if name not in run.main_arms)])
    analyses = analyse(run, comparisons, draws)
    robust = {(one.task, one.protocols): one for one in analyses.robustness}
    budget = BUDGET // max(1, len(comparisons))
    pretrained = pretraining_tuning(run)
    return Contents(
        run,
        draws,
        tuple(
            _block(run, one, found, robust.get((one.task, one.protocols)), budget)
            for one, found in zip(comparisons, answers, strict=True)
        ),
        (*cautions, *warnings(run, comparisons, answers), *against(analyses, comparisons)),
        analyses,
        looks,
        pretraining_curves(run, {name: looks[name] for name in run.main_arms}),
        tuple((one, labels_figure(one, looks)) for one in analyses.labels),
        tuple((one, ablation_figures(one)) for one in analyses.ablations),
        tuple((one, cost_figure(one, looks)) for one in analyses.costs),
        (pretrained, draws_figure(pretrained, looks)) if pretrained else None,
        tuple((one, draws_figure(one, looks)) for one in tuning(run, comparisons)),
        {one.task: (one, search_figure(one, looks)) for one in analyses.searches},
        {name: parallel_figure(run, task, looks) for name, task in run.tasks.items()},
        tuple(costs(run)),
    )


def _block(run: Run, one: Comparison, found: Answer, robust: Robustness | None, budget: int) -> Block:
    looks = styles(one.columns)
    forests: dict[tuple[str, str], list[Figure]] = {}
    panels: dict[tuple[str, str], Any] = {}
    for table in one.tables:
        for statistic in table.statistics:
            forests[table.key, statistic.name] = forest_figures(one, table.key, statistic)
        for arm in table.agreement:
            panels[table.key, arm.column] = agreement_panels(
                arm, table.statistics[0].lines, table.least_significant_changes, looks[arm.column]
            )
    names = {column.name: looks[column.key] for column in one.columns}
    strips = strips_figure(robust, robust.seeds, "trials", names) if robust else None
    splits = strips_figure(robust, robust.splits, "splits", names) if robust else None
    return Block(
        one,
        found,
        looks,
        endpoint_figure(one),
        ranks_figure(one),
        forests,
        panels,
        exhibits(run, one, budget),
        robust,
        strips,
        splits,
    )
