"""Figures of what stands beside the tables: labels, ablations, cost, single seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.ablations import Ablations, Dose, Effect
from reports.answer import digits, interval, number
from reports.charts import Mark, Row, interval_chart, strip_chart
from reports.cost_quality import CostQuality
from reports.figures import BASELINE_STYLE, STYLES, Figure
from reports.labels import LabelEfficiency
from reports.multiples import DASHES
from reports.plane import Dot, Series, plane
from reports.robustness import Robustness, Strip
from reports.statistics.intervals import Estimate
from reports.svg import Style

Looks = Mapping[str, Style]

#: A cost axis that spans more than this factor is logarithmic.
LOGARITHMIC_FROM = 3.0


def look_of(looks: Looks, column: str) -> Style:
    """Colour and marker of a column by its key; `looks` by name of the arm."""
    kind, _, name = column.partition(":")
    return BASELINE_STYLE if kind == "baseline" else looks[name]


def labels_figure(one: LabelEfficiency, looks: Looks) -> Figure:
    """The endpoint over the share of the labels, doubling from mark to mark."""
    series, words = [], []
    for index, curve in enumerate(one.curves):
        dots = [
            _dot(point.fraction, point.estimate, f"{curve.title}, {100 * point.fraction:g} % of the labels")
            for point in curve.points
            if point.estimate.value is not None
        ]
        if dots:
            style = look_of(looks, curve.column)
            series.append(Series(curve.title, style, dots, DASHES[index % len(DASHES)], banded=True))
            words.append(
                f"{curve.title} from {number(dots[0].y, 3)} at {100 * dots[0].x:g} %"
                f" to {number(dots[-1].y, 3)} at {100 * dots[-1].x:g} %"
            )
    places = sorted({dot.x for own in series for dot in own.dots})
    ticks = [(place, f"{100 * place:g} %") for place in places]
    summary = "; ".join(words)
    drawn = plane(series, ("share of the labels", one.label), summary, log=True, ticks=ticks)
    return Figure(f"labels-{one.task}-{'-'.join(one.protocols)}", drawn, summary)


def effects_figure(key: str, effects: Sequence[Effect], label: str) -> Figure | None:
    """Differences with their intervals, one row each, and the words of the verdict."""
    rows = []
    for effect in effects:
        found = effect.difference.estimate
        if found.value is None:
            continue
        words = f"{effect.label}: {interval(found, digits(found, 2), signed=True)}"
        note = "" if effect.difference.verdict == "not judged" else effect.difference.verdict
        style = STYLES[0] if effect.attributable else BASELINE_STYLE
        mark = Mark(found.value, found.low, found.high, *style, note, words)
        rows.append(Row(effect.label, [mark], effect.difference.margin))
    if not rows:
        return None
    summary = "; ".join(row.marks[0].words for row in rows)
    return Figure(key, interval_chart(rows, label, summary, zero=True), summary)


def study_key(study: Ablations) -> str:
    """Names the figures of one study."""
    place = f"{study.task}-{'-'.join(study.protocols)}-{study.base.partition(':')[2]}-{study.hyperparameters}"
    return f"{place}-{study.number}" if study.number else place


def ablation_figures(study: Ablations) -> dict[str, Figure]:
    """The views that the study allows, by name, such as `removals`, `ladder-0`, `dose-<factor>`."""
    key, label = study_key(study), f"difference in {study.label}"
    found = {
        "children": effects_figure(f"children-{key}", study.children, label),
        "removals": effects_figure(f"removals-{key}", study.removals, label),
    }
    for index, means in enumerate(study.order_means):
        found[f"order-means-{index}"] = effects_figure(f"order-means-{key}-{index}", means.effects, label)
    for index, ladder in enumerate(study.ladders):
        found[f"ladder-{index}"] = effects_figure(f"ladder-{key}-{index}", ladder.steps, label)
    if study.factorial:
        found["factorial"] = effects_figure(f"factorial-{key}", study.factorial.effects, label)
    for dose in study.doses:
        found[f"dose-{dose.factor}"] = _dose(f"dose-{key}-{dose.factor}", dose, study.label)
    return {name: figure for name, figure in found.items() if figure}


def _dose(key: str, dose: Dose, label: str) -> Figure:
    dots = [
        _dot(float(place), point.estimate, f"{dose.factor} = {point.value:g}")
        for place, point in enumerate(dose.points)
        if point.estimate.value is not None
    ]
    ticks = [(float(place), f"{point.value:g}") for place, point in enumerate(dose.points)]
    summary = "; ".join(dot.words for dot in dots)
    series = [Series(f"{dose.factor}, in steps", STYLES[0], dots)]
    return Figure(key, plane(series, (dose.factor, label), summary, ticks=ticks), summary)


def cost_figure(one: CostQuality, looks: Looks) -> Figure:
    """Quality over seconds: pretraining shared among tasks (left end of a line) and in full (right end)."""
    series, words = [], []
    for point in one.points:
        assert point.quality.value is not None  # noqa: S101  a point has a quality
        level = interval(point.quality, 3)
        dots = [
            _dot(seconds, point.quality, f"{point.title}, {kind} {seconds:.0f} s")
            for kind, seconds in (("amortised", point.amortised_seconds), ("in full", point.full_seconds))
        ]
        same = dots[0].x == dots[1].x
        series.append(Series(point.title, look_of(looks, point.column), dots[:1] if same else dots, "2 3"))
        words.append(f"{point.title}: {level} for {point.amortised_seconds:.0f} s")
    seconds = [dot.x for own in series for dot in own.dots]
    log = min(seconds) > 0 and max(seconds) > LOGARITHMIC_FROM * min(seconds)
    summary = "; ".join(words)
    axis = "seconds" + (", logarithmic" if log else "")
    drawn = plane(series, (axis, one.label), summary, log=log)
    return Figure(f"cost-{one.task}-{'-'.join(one.protocols)}", drawn, summary)


def strips_figure(one: Robustness, strips: Sequence[Strip], kind: str, looks: Looks) -> Figure | None:
    """Every final trial as a mark, a row per arm or baseline."""
    if not strips:
        return None
    rows = [
        (
            strip.title,
            look_of(looks, strip.column),
            [
                (point.value, f"{strip.title}, {_place(point.pretraining_seed, point.seed, point.split)}")
                for point in strip.points
            ],
        )
        for strip in strips
    ]
    words = []
    for title, _, points in rows:
        low, high = (number(end([value for value, _ in points]), 3) for end in (min, max))
        words.append(f"{title}: {low}" if low == high else f"{title}: {low} to {high}, {len(points)} trials")
    summary = "; ".join(words)
    key = f"{kind}-{one.task}-{'-'.join(one.protocols)}"
    return Figure(key, strip_chart(rows, one.label, summary), summary)


def _place(pretraining: int | None, seed: int | None, split: int) -> str:
    parts = [("pretraining seed", pretraining), ("seed", seed), ("split", split or None)]
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None) or "one trial"


def _dot(x: float, found: Estimate, name: str) -> Dot:
    value = found.value or 0.0
    return Dot(x, value, found.low, found.high, f"{name}: {interval(found, digits(found, 3))}")
