"""Margins of equivalence: two one-sided tests, material differences, false discovery rate, who declares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from reports import RecordsError
from reports.answer import answer
from reports.frame import Run, read_run
from reports.margins import margin_of
from reports.statistics.intervals import Estimate
from reports.statistics.tests import benjamini_hochberg, judge, p_equivalence, p_material
from reports.tables import compare
from tests.reports.records import Records

Z = 1.959963984540054


def paired(first: np.ndarray, second: np.ndarray) -> Estimate:
    difference = first - second
    error = float(stats.sem(difference))
    return Estimate(float(difference.mean()), standard_error=error, degrees_of_freedom=len(difference) - 1.0)


@pytest.mark.parametrize("margin", [0.1, 0.3, 1.0])
def test_two_one_sided_tests_match_statsmodels(margin: float) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=40)
    second = first + 0.3 * rng.normal(size=40) + 0.05
    expected, _, _ = ttost_paired(first, second, -margin, margin)
    assert p_equivalence(paired(first, second), margin) == pytest.approx(expected)


@given(st.floats(-3, 3), st.floats(0.01, 2), st.floats(2, 100), st.floats(0.01, 3))
def test_equivalence_is_the_90_percent_interval_within_the_margin(
    value: float, error: float, freedom: float, margin: float
) -> None:
    half = stats.t.ppf(0.95, freedom) * error
    inside = -margin < value - half and value + half < margin
    p = p_equivalence(Estimate(value, standard_error=error, degrees_of_freedom=freedom), margin)
    assert p is not None
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == inside


def test_a_difference_is_material_where_its_interval_clears_the_margin() -> None:
    beyond = Estimate(1.0 + Z + 0.01, standard_error=1.0, degrees_of_freedom=1e9)
    short = Estimate(1.0 + Z - 0.01, standard_error=1.0, degrees_of_freedom=1e9)
    assert [p_material(one, 1.0) < 0.05 for one in (beyond, short)] == [True, False]
    assert p_material(Estimate(0.0, standard_error=1.0, degrees_of_freedom=9.0), 1.0) == 1.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_false_discovery_rate_matches_scipy(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(list(stats.false_discovery_control(p_values)))


def of(value: float, error: float) -> Estimate:
    return Estimate(value, standard_error=error, degrees_of_freedom=100.0)


@pytest.mark.parametrize(
    ("value", "error", "direction", "margin", "word", "material"),
    [
        (0.1, 0.01, "max", None, "better", None),
        (0.1, 0.01, "max", 0.02, "better", True),
        (0.1, 0.04, "max", 0.05, "better", False),
        (0.001, 0.01, "max", None, "inconclusive", None),
        (0.001, 0.01, "max", 0.05, "equivalent", None),
        (0.001, 0.01, "max", 0.01, "inconclusive", None),
        (0.001, 0.01, None, 0.05, "equivalent", None),
        (0.1, 0.01, None, 0.05, "not judged", None),
        (-0.1, 0.01, "min", 0.02, "better", True),
    ],
)
def test_verdicts_with_margins(  # noqa: PLR0917  what a verdict depends on
    value: float, error: float, direction: str | None, margin: float | None, word: str, material: bool | None
) -> None:
    one = judge([of(value, error)], [direction], None, [margin])[0]
    assert (one.verdict, one.material, one.margin) == (word, material, margin)


def test_equivalence_is_corrected_for_the_rows_of_its_family() -> None:
    row = of(0.0, 0.01)  # p of equivalence with margin .02: about .024
    alone = judge([row], ["max"], None, [0.02])[0]
    together = judge([row] * 4, ["max"] * 4, None, [0.02] * 4)
    assert alone.verdict == "equivalent"
    assert {one.verdict for one in together} == {"inconclusive"}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.1, 2)), min_size=1, max_size=8),
    st.sampled_from(["holm", "bh"]),
)
def test_the_adjusted_interval_excludes_zero_where_the_verdict_says_so(
    rows: list[tuple[float, float]], correction: str
) -> None:
    judged = judge([of(*row) for row in rows], ["max"] * len(rows), correction=correction)  # type: ignore[arg-type]
    for one in judged:
        assert one.p_adjusted is not None and one.adjusted_low is not None and one.adjusted_high is not None
        if abs(one.p_adjusted - 0.05) > 1e-9:
            assert (one.verdict in ("better", "worse")) == (one.adjusted_low > 0 or one.adjusted_high < 0)


def test_exploratory_rows_keep_the_false_discovery_rate() -> None:
    rows = [of(0.023, 0.01)] * 4  # p about .02
    assert {one.verdict for one in judge(rows, ["max"] * 4)} == {"inconclusive"}
    assert {one.verdict for one in judge(rows, ["max"] * 4, correction="bh")} == {"better"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("margins") / "run"
    return read_run(Records(patients=30, exhibits=False, failures=False).write(folder))


def test_the_suite_has_precedence_over_the_layout_and_a_row_over_its_statistic(run: Run) -> None:
    layout = {"margins": {"rmse": 0.5, "rmse.Hip": 0.7, "r2": 0.02}}
    run.meta["suite"]["margins"] = {"anthropometry": {"rmse.Waist": 0.9, "bias": 0.1}}
    rows = [("rmse", "Hip"), ("rmse", "Waist"), ("rmse", "Torso"), ("bias", "Hip"), ("ccc", "Hip")]
    found = {pair: margin_of(run, "anthropometry", layout, *pair) for pair in rows}
    assert list(found.values()) == [0.7, 0.9, 0.5, 0.1, None]
    run.meta["suite"]["margins"]["anthropometry"]["rmse"] = 0.3
    assert margin_of(run, "anthropometry", layout, "rmse", "Hip") == 0.3


@pytest.mark.parametrize("wrong", [0, -1.0, "wide", True, float("nan")])
def test_a_margin_is_a_positive_number(run: Run, wrong: object) -> None:
    with pytest.raises(RecordsError, match=r"margin 'r2' of task 'anthropometry'"):
        margin_of(run, "anthropometry", {"margins": {"r2": wrong}}, "r2", "Hip")


def test_tables_judge_by_the_declared_margin(run: Run) -> None:
    run.meta["suite"]["margins"] = {"anthropometry": {"r2": 5.0}}
    for comparison in compare(run, 200):
        verdicts = {contrast.differences[0].verdict for contrast in comparison.endpoint.contrasts}
        margins = {contrast.differences[0].margin for contrast in comparison.endpoint.contrasts}
        if comparison.task == "anthropometry":
            assert margins == {5.0}
            assert "inconclusive" not in verdicts
        else:
            assert margins == {None}
            assert "equivalent" not in verdicts


@pytest.mark.parametrize(
    ("margin", "words"), [(0.001, "beyond the margin of 0.001"), (5.0, "within the margin of 5.000")]
)
def test_the_answer_says_how_a_lead_stands_to_the_margin(tmp_path: Path, margin: float, words: str) -> None:
    run = read_run(Records(patients=60, exhibits=False, failures=False).write(tmp_path / "run"))
    run.meta["suite"]["margins"] = {"anthropometry": {"r2": margin}}
    one = answer(next(one for one in compare(run, 200) if one.protocols == ("matched",)))
    assert (one.verdict, one.winner) == ("winner", "DXA-VAE")
    assert words in one.sentences[0]
    assert ("but by less than the margin" in one.headline) == (margin == 5.0)


def test_arms_within_the_margin_are_called_equivalent(tmp_path: Path) -> None:
    same = dict.fromkeys(("imagenet", "nodxa_vae", "dxa_vae"), 0.3)
    records = Records(patients=60, exhibits=False, failures=False, noise=same | {"mean": 1, "pca_ridge": 0.4})
    run = read_run(records.write(tmp_path / "run"))
    run.meta["suite"]["margins"] = {"anthropometry": {"r2": 0.2}}
    one = answer(next(one for one in compare(run, 200) if one.protocols == ("matched",)))
    assert one.verdict == "equivalent"
    assert "are equivalent to it" in one.headline
    del run.meta["suite"]["margins"]
    one = answer(next(one for one in compare(run, 200) if one.protocols == ("matched",)))
    assert one.verdict == "inconclusive"


def test_plug_ins_are_exploratory(run: Run) -> None:
    run.meta["suite"]["margins"] = {}
    run.meta["arms"][2]["origin"] = "mine.py"
    try:
        table = next(one for one in compare(run, 100) if one.task == "anthropometry").tables[0]
    finally:
        run.meta["arms"][2]["origin"] = "built-in"
    corrections = {
        (contrast.first, contrast.second): contrast.differences[0].correction
        for contrast in table.statistics[0].contrasts
        if contrast.kind != "baseline"
    }
    assert corrections == {
        ("arm:nodxa_vae", "arm:imagenet"): "holm",
        ("arm:dxa_vae", "arm:imagenet"): "bh",
        ("arm:dxa_vae", "arm:nodxa_vae"): "bh",
    }
