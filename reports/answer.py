"""The answer in a few sentences, and the warnings that go with it; generated from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import polars as pl

from reports.comparison import Column, Comparison, Contrast
from reports.frame import Run
from reports.statistics.intervals import Estimate
from reports.statistics.tests import ALPHA, Difference

#: Below this many patients a standard error from resamples is itself too uncertain to rely on.
FEW_PATIENTS = 20
#: So far below the median of its rows a mean R² says little about most of them; how many rows are named.
MISLEADING = 0.2
SHOWN_ROWS = 3


@dataclass(frozen=True)
class Answer:
    """What one comparison says.

    Parameters
    ----------
    verdict
        `winner` (better than every other arm after correction), `equivalent` (no arm differs from the best by
        more than the margin), `inconclusive`, or `no comparison`.
    winner
        Title of the winning arm, empty without one.
    sentences
        In words: the result, how it compares with the baselines, what was resampled.
    """

    task: str
    title: str
    protocols: tuple[str, ...]
    verdict: str
    winner: str
    headline: str
    sentences: tuple[str, ...]


def answer(comparison: Comparison) -> Answer:
    """Say who is best at the primary endpoint, by how much and how surely."""
    endpoint, columns = comparison.endpoint, {column.key: column for column in comparison.columns}
    cells = endpoint.lines[0].cells if endpoint.lines else {}
    values = {key: cell for key, cell in cells.items() if cell is not None and cell.value is not None}
    arms = [key for key in values if not columns[key].baseline]
    sign = 1 if endpoint.direction == "max" else -1
    arms.sort(key=lambda key: -sign * (values[key].value or 0.0))
    place = (comparison.task, comparison.title, comparison.protocols)
    if not arms:
        return Answer(*place, "no comparison", "", "No arm has results.", ())
    best, decimals = arms[0], endpoint.decimals
    level = f"{endpoint.label} {interval(values[best], decimals)}"
    if len(arms) == 1:
        headline = f"Only {columns[best].title} has results ({level}); there is nothing to compare it with."
        behind = _behind(comparison, columns, best, decimals)
        return Answer(*place, "no comparison", "", headline, behind)
    contrasts = [contrast for contrast in endpoint.contrasts if contrast.kind != "baseline"]
    against = {key: _against(contrasts, best, key) for key in arms[1:]}
    equal = [key for key, (_, contrast) in against.items() if _word(contrast) == "equivalent"]
    unsure = [key for key, (_, one) in against.items() if key not in equal and not _separated(one)]
    rival = (unsure or equal or arms[1:])[0]
    flip, contrast = against[rival]
    effect = _effect(contrast, flip, decimals)
    line = endpoint.lines[0]
    size = f"{line.patients} test patients, {_pairs(contrast)}"
    detail = f"Difference to {columns[rival].title}: {effect}; {size}."
    verdict, winner = "inconclusive", ""
    alike, open_ones = (_join([columns[key].title for key in keys]) for keys in (equal, unsure))
    name = columns[best].title
    if unsure:
        headline = f"Inconclusive: {name} has the best {level}, but is not separated from {open_ones}"
        headline += f"; {alike} {'is' if len(equal) == 1 else 'are'} equivalent to it." if equal else "."
    elif equal:
        verdict, are = "equivalent", "is" if len(equal) == 1 else "are"
        headline = f"{name} has the best {level}; {alike} {are} equivalent to it."
    else:
        others = _join([columns[key].title for key in arms[1:]])
        little = ", but by less than the margin" if _within(contrast.differences[0]) else ""
        headline = f"{name} is best: {level}, better than {others}{little}."
        detail = f"Lead over the runner-up {columns[rival].title}: {effect}; {size}."
        verdict, winner = "winner", name
    behind = _behind(comparison, columns, best, decimals)
    return Answer(*place, verdict, winner, headline, (detail, *behind))


def warnings(run: Run, comparisons: Sequence[Comparison], answers: Sequence[Answer]) -> list[str]:
    """Everything that limits what the numbers prove; missing things first."""
    found = []
    for status, words in (("failed", "failed"), ("blocked", "were blocked by another one's failure")):
        count = len(run.trials.filter(pl.col("status") == status))
        if count:
            found.append(f"{count} {_plural('trial', count)} {words}: see the list of trials.")
    missing = int(run.meta["status"].get("missing", 0))
    if missing:
        found.append(f"{missing} planned {_plural('trial', missing)} never ran: the run is incomplete.")
    for comparison in comparisons:
        found += _gaps(comparison)
    found += _few_patients(comparisons)
    found += _seeds(run, comparisons)
    found += _tuning_artefacts(answers)
    found += run.meta.get("caveats", [])  # what the suite's own choices take away
    return list(dict.fromkeys(found))


def _gaps(comparison: Comparison) -> list[str]:
    found = []
    name = f"{comparison.title} ({' and '.join(comparison.protocols)})"
    for column in comparison.columns:
        if column.missing:
            found.append(f"{name}: {column.title} has no results. {column.missing}.")
        elif column.done < column.planned:
            found.append(f"{name}: {column.title} has {column.done} of {column.planned} final trials.")
    for table in comparison.tables:
        lines = [line for line in table.statistics[0].lines if line.left_out]
        if lines:
            worst = max(line.left_out for line in lines)
            found.append(
                f"{name}, {table.title}: up to {worst} test scans lack a value in some column and are"
                " left out for all of them."
            )
    return found


def _few_patients(comparisons: Sequence[Comparison]) -> list[str]:
    counts = [one.endpoint.lines[0].patients for one in comparisons if one.endpoint.lines]
    if not any(0 < count < FEW_PATIENTS for count in counts):
        return []
    return [
        f"{min(count for count in counts if count)} test patients are too few for an interval to be trusted,"
        " above all of R²: resamples with hardly any spread of the targets dominate it."
    ]


def _seeds(run: Run, comparisons: Sequence[Comparison]) -> list[str]:
    found = []
    if run.meta["claims"] != "procedure":
        found.append(
            "One pretraining seed per arm: the intervals speak about these weights (artifacts), and the run"
            " proves nothing about the pretraining procedures. Another pretraining seed may change the order."
        )
    units = {
        column.units for one in comparisons for column in one.columns if not column.baseline and column.done
    }
    if 1 in units:
        found.append("Where an arm has a single trial, its interval covers patients only, not seeds.")
    if 2 in units:
        found.append(
            "Two seeds say little about the spread between seeds: their intervals are wide for that reason."
        )
    return found


def _tuning_artefacts(answers: Sequence[Answer]) -> list[str]:
    """A winner under one protocol that the other does not confirm."""
    found = []
    for task in dict.fromkeys(one.task for one in answers):
        mine = [one for one in answers if one.task == task]
        if len(mine) > 1 and len({one.winner for one in mine}) > 1:
            words = [f"{one.winner or 'no winner'} when {' and '.join(one.protocols)}" for one in mine]
            found.append(
                f"{mine[0].title}: the protocols disagree ({', '.join(words)}):"
                " hyperparameters decide here, not weights alone."
            )
    return found


def _against(contrasts: Sequence[Contrast], best: str, other: str) -> tuple[bool, Contrast]:
    """The contrast of two arms and whether it has to be turned round to read best - other."""
    for contrast in contrasts:
        if (contrast.first, contrast.second) == (best, other):
            return False, contrast
        if (contrast.first, contrast.second) == (other, best):
            return True, contrast
    raise KeyError((best, other))


def _word(contrast: Contrast) -> str:
    difference = contrast.differences[0]
    return difference.verdict if difference is not None else ""


def _separated(contrast: Contrast) -> bool:
    return _word(contrast) in ("better", "worse")


def _effect(contrast: Contrast, flip: bool, decimals: int) -> str:
    difference = contrast.differences[0]
    if difference is None or difference.estimate.value is None:
        return "no interval"
    one = turned(difference.estimate) if flip else difference.estimate
    decimals = digits(one, decimals)
    words = [interval(one, decimals, signed=True)]
    if difference.p_adjusted is not None:
        words.append(p_words(difference.p_adjusted) + " after correction")
    if difference.margin is not None:
        words.append(_margin(difference, decimals))
    if difference.minimum_detectable is not None:
        words.append(f"smallest detectable difference {difference.minimum_detectable:.{decimals}f}")
    return ", ".join(words)


def _within(difference: Difference | None) -> bool:
    """Whether a difference is shown to lie within its margin, whatever else it is."""
    return (
        difference is not None and difference.p_equivalence is not None and difference.p_equivalence < ALPHA
    )


def _margin(difference: Difference, decimals: int) -> str:
    """How a difference stands to the declared margin."""
    margin = f"the margin of {difference.margin:.{decimals}f}"
    if _within(difference):
        return f"within {margin}"
    if difference.material:
        return f"beyond {margin}"
    return f"not shown to lie within or beyond {margin}"


def _behind(comparison: Comparison, columns: dict[str, Column], best: str, decimals: int) -> tuple[str, ...]:
    """What puts the best arm's value into proportion."""
    return (*_baselines(comparison, columns, best, decimals), *_rows_behind(comparison, columns[best]))


def _baselines(
    comparison: Comparison, columns: dict[str, Column], best: str, decimals: int
) -> tuple[str, ...]:
    """How the best arm compares with the best baseline."""
    contrasts = [one for one in comparison.endpoint.contrasts if (one.first, one.kind) == (best, "baseline")]
    judged = [(one, one.differences[0]) for one in contrasts if one.differences[0] is not None]
    sign = 1 if comparison.endpoint.direction == "max" else -1
    known = [(one, diff) for one, diff in judged if diff is not None and diff.estimate.value is not None]
    if not known:
        return ()
    contrast, difference = min(known, key=lambda pair: sign * (pair[1].estimate.value or 0.0))
    words = {"better": "better than", "worse": "worse than"}
    return (
        f"{columns[best].title} is {words.get(difference.verdict, 'not separated from')} the best baseline"
        f" ({columns[contrast.second].title}): {interval(difference.estimate, decimals, signed=True)}.",
    )


def _rows_behind(comparison: Comparison, best: Column) -> tuple[str, ...]:
    """Which rows carry a mean R² that lies far below most of them: the mean alone would mislead."""
    endpoint = comparison.endpoint
    whole = endpoint.lines[0].cells[best.key] if endpoint.name == "r2" and endpoint.lines else None
    if whole is None or whole.value is None:
        return ()
    for statistic in (one for table in comparison.tables for one in table.statistics if one.name == "r2"):
        cells = [(line.label, line.cells[best.key]) for line in statistic.lines]
        rows = [(cell.value, label) for label, cell in cells if cell is not None and cell.value is not None]
        values = [value for value, _ in rows]
        if not values or not math.isclose(fmean(values), whole.value):
            continue  # a table of other rows
        if median(values) - whole.value < MISLEADING:
            return ()
        lowest = ", ".join(f"{label} {number(value, 2)}" for value, label in sorted(rows)[:SHOWN_ROWS])
        return (
            f"Its lowest rows carry that mean ({lowest}): the median of the {len(rows)} rows is"
            f" {number(median(values), 2)}, and {sum(value < 0 for value in values)} of them lie below 0,"
            " worse than giving everybody the mean.",
        )
    return ()


def turned(one: Estimate) -> Estimate:
    """The same difference read the other way round."""
    value, low, high = (None if x is None else -x for x in (one.value, one.high, one.low))
    return Estimate(value, low, high, one.standard_error, one.degrees_of_freedom, one.undefined_draws)


def digits(one: Estimate, least: int) -> int:
    """Digits after the point that show two of the standard error, at least `least`, at most six."""
    if not one.standard_error:
        return least
    return min(6, max(least, 1 + math.ceil(-math.log10(one.standard_error))))


def interval(one: Estimate, decimals: int, signed: bool = False) -> str:
    """`0.92 [0.90, 0.94]`, with a true minus sign."""
    if one.value is None:
        return "undefined"
    value = number(one.value, decimals, signed)
    if one.low is None or one.high is None:
        return f"{value} (no interval)"
    return f"{value} [{number(one.low, decimals, signed)}, {number(one.high, decimals, signed)}]"


def number(value: float | None, decimals: int, signed: bool = False) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    rounded = round(value, decimals) + 0.0  # no negative zero
    text = f"{rounded:{'+' if signed else ''}.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def p_words(p: float) -> str:
    """`p < 0.001` or `p = 0.032`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _pairs(contrast: Contrast) -> str:
    return contrast.pairing.replace("same patients and ", "").replace("same patients; ", "")


def _join(titles: Sequence[str]) -> str:
    return "".join(titles) if len(titles) < 2 else f"{', '.join(titles[:-1])} and {titles[-1]}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"
