"""Results of both runs, paired and judged: which moved beyond their noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reports.comparison import Column
from reports.diff.findings import MetricChange, Outcome
from reports.endpoint import endpoint_of
from reports.errors import RecordsError
from reports.frame import Run
from reports.layouts import LayoutResults
from reports.sample import PURE_NUMBERS, build_sample, final_trials, readable
from reports.statistics.intervals import estimate
from reports.statistics.tests import ALPHA, Difference, judge
from reports.tables import PROTOCOLS


def outcomes(first: Run, second: Run, both: Run, draws: int) -> tuple[list[MetricChange], list[MetricChange]]:
    """Endpoints, judged as one family, and rows."""
    endpoints: list[tuple[MetricChange, float]] = []
    rows: list[MetricChange] = []
    for name in dict.fromkeys([*first.tasks, *second.tasks]):
        for protocols in _protocols(first, second, name):
            for arm in _columns(first, second, name):
                pair = _Pair(both, name, protocols, arm, draws)
                endpoint = pair.endpoint()
                if endpoint is not None:
                    endpoints.append(endpoint)
                    rows += pair.rows()
    return _judged_together(endpoints), rows


def _protocols(first: Run, second: Run, task: str) -> list[tuple[str, ...]]:
    """Both protocols as one where the same trials serve both, in both runs."""
    same = [
        set(final_trials(run, task, "matched")["key"]) == set(final_trials(run, task, "tuned")["key"])
        for run in (first, second)
    ]
    return [PROTOCOLS] if all(same) else [(protocol,) for protocol in PROTOCOLS]


def _columns(first: Run, second: Run, task: str) -> list[tuple[str, str, str]]:
    """Kind, name and title of every arm and baseline that either run has."""
    arms = {name: arm["title"] for run in (second, first) for name, arm in run.arms.items()}
    declared = [run.tasks[task]["baselines"] for run in (first, second) if task in run.tasks]
    baselines = dict.fromkeys(name for names in declared for name in names)
    return [("arm", name, title) for name, title in arms.items()] + [
        ("baseline", name, readable(name)) for name in baselines
    ]


class _Pair:
    """One arm or baseline of a task in both runs."""

    def __init__(
        self, both: Run, task: str, protocols: tuple[str, ...], arm: tuple[str, str, str], draws: int
    ) -> None:
        self.both, self.task, self.protocols, self.draws = both, both.tasks[task], protocols, draws
        kind, self.name, self.title = arm
        self.keys = (f"{kind}:{self.name}@B", f"{kind}:{self.name}@A")
        self.trials = final_trials(both, task, protocols[0])
        self.place = (task, self.task["title"], protocols, f"{kind}:{self.name}", self.title)

    def endpoint(self) -> tuple[MetricChange, float] | None:
        """The primary endpoint, not judged yet, and what is rounding; `None` where neither run has it."""
        try:
            found = endpoint_of(self.both, self.task, self.trials, self.keys, [self.keys], draws=self.draws)
        except RecordsError as error:
            raise RecordsError(
                f"the two runs cannot be paired: {error.message}", mend="compare runs over the same data"
            ) from error
        if found is None:
            return None
        after, before = (
            estimate(found.of(key))[0] if key in found.sample.values else None for key in self.keys
        )
        paired = after is not None and before is not None
        change = MetricChange(
            *self.place,
            *(found.statistic, "", found.label, "", found.direction),
            before,
            after,
            judge([estimate(found.difference(*self.keys))[0]], [None], None, [found.margin])[0]
            if paired
            else None,
            "within noise" if paired else "new" if before is None else "lost",
            found.crossed.pairing[self.keys] if paired else "",
            found.patients,
        )
        return change, found.rounding

    def rows(self) -> Iterator[MetricChange]:
        """Every row of every table, corrected within its table and statistic."""
        for layout in self.both.layouts.get(self.task["name"], []):
            names = [row["key"] for row in layout["rows"]]
            sample = build_sample(self.both, self.trials, layout["source"], names, self.keys)
            if sample is None or not set(self.keys) <= set(sample.values):
                continue
            columns = [Column(key, self.name, self.title, False, 1, 1, "none", 1, "") for key in self.keys]
            results = LayoutResults(self.both, self.task, layout, sample, columns, self.keys[1], self.draws)
            for statistic in map(results.statistic, results.statistics):
                (contrast,) = statistic.contrasts
                for line, difference in zip(statistic.lines, contrast.differences, strict=True):
                    if difference is None or difference.estimate.value is None:
                        continue
                    after, before = (line.cells[key] for key in self.keys)
                    label = f"{line.label}, {statistic.label}"
                    unit = "" if statistic.name in PURE_NUMBERS else line.unit
                    yield MetricChange(
                        *self.place,
                        *(statistic.name, line.key, label, unit, line.direction),
                        before,
                        after,
                        difference,
                        outcome_of(difference),
                        contrast.pairing,
                        line.patients,
                    )


def _judged_together(found: Sequence[tuple[MetricChange, float]]) -> list[MetricChange]:
    """All endpoints as one family."""
    paired = [(one, one.difference, floor) for one, floor in found if one.difference is not None]
    judged = judge(
        [difference.estimate for _, difference, _ in paired],
        [one.direction for one, _, _ in paired],
        [floor for _, _, floor in paired],
        [difference.margin for _, difference, _ in paired],
    )
    replaced = iter(judged)
    return [
        one
        if one.difference is None
        else replace(one, difference=(new := next(replaced)), outcome=outcome_of(new))
        for one, _ in found
    ]


def outcome_of(difference: Difference) -> Outcome:
    """The word for a difference between two runs, second minus first."""
    if difference.p is None and difference.verdict == "not judged":
        return "unchanged"
    within = difference.p_equivalence is not None and difference.p_equivalence < ALPHA
    words: Mapping[str, Outcome] = {
        "worse": "equivalent" if within else "regression",
        "better": "equivalent" if within else "improvement",
        "equivalent": "equivalent",
        "not judged": "not judged",
    }
    return words.get(difference.verdict, "within noise")
