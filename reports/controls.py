"""Controls: comparisons whose answer is known beforehand, so that the procedure itself is put to the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.comparison import Comparison
from reports.endpoint import Endpoint, endpoint_of
from reports.frame import Run
from reports.sample import final_trials
from reports.statistics.intervals import Estimate, estimate
from reports.statistics.tests import ALPHA, Difference, judge

#: What each kind of control should show.
EXPECTATIONS: Mapping[str, str] = {
    "aa": "the same arm with other seeds: neither better nor worse than itself",
    "shuffled_labels": "labels shuffled among the training patients: no better than guessing",
    "broken_physics": "the physics of the pretraining broken: worse than the intact arm, if it is what helps",
}


@dataclass(frozen=True)
class Control:
    """A control arm and whether it behaved.

    Parameters
    ----------
    kind
        `aa`, `shuffled_labels` or `broken_physics`.
    base
        Key of the arm that it is derived from.
    value
        Its own endpoint.
    difference
        Control minus base; for shuffled labels minus the baseline `mean` where there is one.
    against
        Key of what it is compared with; empty for "guessing" (an r2 of zero).
    passed
        Whether it came out as expected; `None` where it cannot be told.
    sentence
        The outcome in words.
    separated, rows
        Row by row of the endpoint and without correction: of how many intervals that should hold zero it lies
        outside. `None` where there is none to judge by.
    resampled
        What the intervals speak about.
    """

    task: str
    title: str
    protocols: tuple[str, ...]
    column: str
    name: str
    kind: str
    base: str
    against: str
    expectation: str
    value: Estimate | None
    difference: Difference | None
    passed: bool | None
    sentence: str
    resampled: str
    separated: int | None = None
    rows: int = 0


def controls(run: Run, comparison: Comparison, draws: int) -> list[Control]:
    """Every control arm of a task."""
    task = run.tasks[comparison.task]
    derived = [arm for arm in run.arms.values() if arm.get("control") in EXPECTATIONS]
    if not derived:
        return []
    trials = final_trials(run, comparison.task, comparison.protocols[0])
    planned = set(trials["entry"])
    derived = [arm for arm in derived if f"arm:{arm['name']}" in planned]
    guess = "baseline:mean"
    pairs = []
    for arm in derived:
        base = f"arm:{_base(arm)}"
        against = [base, guess] if arm["control"] == "shuffled_labels" else [base]
        pairs += [(f"arm:{arm['name']}", other) for other in against]
    entries = list(dict.fromkeys(key for pair in pairs for key in pair))
    endpoint = endpoint_of(run, task, trials, entries, pairs, draws=draws)
    return [_control(comparison, arm, endpoint, guess) for arm in derived]


def _base(arm: Mapping[str, Any]) -> str:
    ablation = arm.get("ablation") or {}
    derived_for_the_suite = arm.get("strategy") not in (None, arm["name"])
    maker = arm["strategy"] if derived_for_the_suite else arm.get("parent")
    return str(ablation.get("base") or maker)


def _control(
    comparison: Comparison,
    arm: Mapping[str, Any],
    endpoint: Endpoint | None,
    guess: str,
) -> Control:
    key, kind, base = f"arm:{arm['name']}", str(arm["control"]), f"arm:{_base(arm)}"
    known = endpoint.sample.values if endpoint is not None else {}
    against = guess if kind == "shuffled_labels" and guess in known else base
    if kind == "shuffled_labels" and guess not in known:
        against = ""
    place = (
        *(comparison.task, comparison.title, comparison.protocols),
        *(key, arm["title"], kind, base, against, EXPECTATIONS[kind]),
    )
    if endpoint is None or key not in known or (against and against not in known):
        return Control(*place, None, None, None, "It has no results to judge.", "")
    value = estimate(endpoint.of(key))[0]
    if against:
        found = estimate(endpoint.difference(key, against))[0]
        difference = judge([found], [endpoint.direction], [endpoint.rounding], [endpoint.margin])[0]
    elif endpoint.statistic in ("r2", "r2_pearson", "ccc", "slope"):
        difference = judge([value], ["max"])[0]
    else:
        return Control(*place, value, None, None, "There is no baseline to compare it with.", "")
    passed, sentence = _outcome(kind, difference)
    separated, rows = _by_row(kind, endpoint, key, against)
    resampled = endpoint.resampled(*filter(None, (key, against)))
    sentence += _by_row_in_words(kind, endpoint, separated, rows)
    return Control(*place, value, difference, passed, sentence, resampled, separated, rows)


def _by_row(kind: str, endpoint: Endpoint, key: str, against: str) -> tuple[int | None, int]:
    """Rows whose interval excludes zero although nothing is there, and rows that have an interval.

    For an A/A arm the interval of the difference on either side; for shuffled labels the interval of r2
    above zero, which is what guessing reaches.
    """
    if kind == "aa":
        found = estimate(endpoint.crossed.difference(key, against, endpoint.statistic))
        outside = [
            one.low > 0 or one.high < 0 for one in found if one.low is not None and one.high is not None
        ]
    elif kind == "shuffled_labels" and endpoint.statistic == "r2":
        found = estimate(endpoint.crossed.of(key, endpoint.statistic))
        outside = [one.low > 0 for one in found if one.low is not None]
    else:
        return None, 0
    return (sum(outside), len(outside)) if outside else (None, 0)


def _by_row_in_words(kind: str, endpoint: Endpoint, separated: int | None, rows: int) -> str:
    if separated is None or rows < 2:
        return ""
    if kind == "aa":
        return (
            f" Row by row, {separated} of {rows} uncorrected intervals exclude zero"
            f" ({ALPHA * rows:.2g} expected)."
        )
    return f" Row by row, {separated} of {rows} intervals of {endpoint.statistic} lie above zero."


def _outcome(kind: str, difference: Difference) -> tuple[bool | None, str]:
    if difference.p is None and difference.verdict != "not judged":
        return None, "There is no interval to judge it by."
    passed: bool | None
    if kind == "aa":
        passed = difference.verdict not in ("better", "worse")
        words = (
            "As it should be, the same arm is not separated from itself."
            if passed
            else "The same arm is separated from itself by its seeds alone:"
            f" claims of this size are not to be trusted (expected in {100 * ALPHA:.0f} % of them)."
        )
    elif kind == "shuffled_labels":
        passed = difference.verdict != "better"
        words = (
            "As it should be, nothing is learned from shuffled labels."
            if passed
            else "Shuffled labels are predicted better than by guessing: test data leak into training."
        )
    elif difference.verdict == "worse":
        passed = True
        words = "With its physics broken the arm is worse: the physics is part of what helps."
    else:
        passed = False if difference.verdict in ("better", "equivalent") else None
        words = (
            "With its physics broken the arm is not shown to be worse:"
            " a gain of the intact arm cannot be put down to the physics."
        )
    return passed, words
