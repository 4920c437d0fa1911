"""Every further analysis of one run that has everything, against plain recomputation from its records."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import r2_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from reports.ablations import ablations
from reports.analyses import Analyses, analyse, cautions
from reports.comparison import Comparison
from reports.controls import Control
from reports.fillings import compare_analysable, newcombe
from reports.frame import Run, read_run
from reports.robustness import corrected_resampled
from reports.studies import study_key
from reports.tables import compare
from tests.reports.declared import MEASURES
from tests.reports.designs import DesignRecords
from tests.reports.records import Records

DRAWS = 300


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    records = DesignRecords(patients=50, unanalysable={"imagenet": 0.1, "nodxa_vae": 0.2})
    return read_run(records.write(tmp_path_factory.mktemp("designs") / "run"))


@pytest.fixture(scope="module")
def comparisons(run: Run) -> list[Comparison]:
    return compare(run, DRAWS)


@pytest.fixture(scope="module")
def analyses(run: Run, comparisons: list[Comparison]) -> Analyses:
    return analyse(run, comparisons, DRAWS)


def r2_of(run: Run, where: pl.Expr, scans: pl.Series | None = None) -> float:
    """Mean r2 over measures and trials, by scikit-learn; trials by their `trials` columns."""
    trials = run.trials.filter((pl.col("stage") == "final") & (pl.col("task") == "anthropometry") & where)
    rows = run.predictions.join(trials.select("key"), on="key").drop_nulls("prediction")
    if scans is not None:
        rows = rows.filter(pl.col("scan").is_in(scans.implode()))
    each = [
        r2_score(one["target"].to_numpy(), one["prediction"].to_numpy())
        for _, one in rows.group_by("key", "measure")
    ]
    assert len(each) == len(MEASURES) * len(trials)
    return float(np.mean(each))


def test_main_tables_hold_competing_arms_on_all_labels_and_the_own_split(
    run: Run, comparisons: list[Comparison]
) -> None:
    matched = next(one for one in comparisons if one.protocols == ("matched",))
    assert [one.name for one in matched.columns if not one.baseline] == ["imagenet", "nodxa_vae", "dxa_vae"]
    assert {one.done for one in matched.columns if not one.baseline} == {6}
    assert {one.unit for one in matched.columns if not one.baseline} == {"pretraining"}


def test_label_curves_have_the_values_of_their_trials(run: Run, analyses: Analyses) -> None:
    one = next(one for one in analyses.labels if one.protocols == ("matched",))
    assert one.fractions == (0.1, 0.25, 0.5, 1.0)
    curve = next(curve for curve in one.curves if curve.column == "arm:dxa_vae")
    missed = run.predictions.filter(pl.col("prediction").is_null())["scan"].unique()
    analysed = run.predictions.filter(~pl.col("scan").is_in(missed.implode()))["scan"].unique()
    for point in curve.points[:-1]:
        own = (pl.col("strategy") == "dxa_vae") & (pl.col("label_fraction") == point.fraction)
        assert point.estimate.value == pytest.approx(r2_of(run, own, analysed))
        assert (point.trials, point.draws) == (18, 3)
        assert "3 pretraining seeds" in point.resampled
    values = [point.estimate.value or 0.0 for point in curve.points]
    assert values == sorted(values)
    assert curve.area is not None and values[0] < (curve.area.value or 0) < values[-1]


def test_differences_of_areas_are_those_of_the_curves(analyses: Analyses) -> None:
    for one in analyses.labels:
        areas = {curve.column: curve.area for curve in one.curves}
        for contrast in one.contrasts:
            first, second = areas[contrast.first], areas[contrast.second]
            assert first is not None and second is not None
            difference = contrast.differences[0]
            assert difference is not None
            expected = (first.value or 0) - (second.value or 0)
            assert difference.estimate.value == pytest.approx(expected)


def test_the_better_arm_saves_labels_and_the_worse_one_does_not(analyses: Analyses) -> None:
    one = next(one for one in analyses.labels if one.protocols == ("matched",))
    saved = {(saving.first, saving.second): saving for saving in one.savings}
    better, worse = saved["arm:dxa_vae", "arm:imagenet"], saved["arm:imagenet", "arm:dxa_vae"]
    assert better.fraction is not None and better.fraction < 0.5
    assert better.saved == pytest.approx(1 - better.fraction)
    assert better.reached > 0.99
    assert worse.fraction is None and worse.saved is None and worse.reached < 0.5
    assert len(saved) == 6


def test_ablations_show_every_view(run: Run, analyses: Analyses) -> None:
    one = next(one for one in analyses.ablations if one.base == "arm:dxa_vae" and "matched" in one.protocols)
    removal = {effect.factors: effect for effect in one.removals}
    assert set(removal) == {
        ("r_image_weight",),
        ("perceptual_weight",),
        ("perceptual_weight", "r_image_weight"),
    }
    r_image = removal["r_image_weight",]
    assert r_image.attributable and r_image.label == "r_image_weight: 0.0 → 0.05"
    assert not removal["perceptual_weight", "r_image_weight"].attributable
    assert "change together" in removal["perceptual_weight", "r_image_weight"].note
    assert r_image.difference.verdict == "better"  # the base is better than the arm without it
    base, gone = one.value.value or 0, r2_of(run, pl.col("strategy") == "dxa_vae.no_r")
    assert r_image.difference.estimate.value == pytest.approx(base - gone, abs=0.02)


def test_ladders_add_up_whatever_their_order(analyses: Analyses) -> None:
    one = next(one for one in analyses.ablations if one.base == "arm:dxa_vae" and "matched" in one.protocols)
    assert {ladder.order for ladder in one.ladders} == {("pixel_loss", "latent"), ("latent", "pixel_loss")}
    sums = [sum(step.difference.estimate.value or 0 for step in ladder.steps) for ladder in one.ladders]
    assert sums[0] == pytest.approx(sums[1])
    steps = {
        factor: [
            step.difference.estimate.value
            for ladder in one.ladders
            for step in ladder.steps
            if step.factors == (factor,)
        ]
        for factor in ("pixel_loss", "latent")
    }
    two = next(found for found in one.order_means if found.factors == ("latent", "pixel_loss"))
    means = {effect.factors[0]: effect.difference.estimate.value for effect in two.effects}
    assert (two.orders, two.complete) == (2, True)
    assert means == {factor: pytest.approx(np.mean(each)) for factor, each in steps.items()}
    assert sum(means.values()) == pytest.approx(sums[0])


def test_the_orders_of_a_full_factorial_give_shapley_values(analyses: Analyses) -> None:
    """They add up to the whole change, and weigh a factor by k! (n - k - 1)! / n! in each coalition."""
    one = next(one for one in analyses.ablations if one.base == "arm:dxa_vae" and "matched" in one.protocols)
    three = next(found for found in one.order_means if len(found.factors) == 3)
    assert (three.orders, three.complete) == (6, True)
    assert one.factorial is not None
    cells = {frozenset(cell.changed): cell.estimate.value or 0 for cell in one.factorial.cells}
    for effect in three.effects:
        (factor,) = effect.factors
        expected = sum(
            {0: 1 / 3, 1: 1 / 6, 2: 1 / 3}[len(names)] * (value - cells[names | {factor}])
            for names, value in cells.items()
            if factor not in names
        )
        assert effect.difference.estimate.value == pytest.approx(expected)


def test_the_factorial_finds_the_effects_that_were_put_in(analyses: Analyses) -> None:
    one = next(one for one in analyses.ablations if one.base == "arm:dxa_vae" and "matched" in one.protocols)
    assert one.factorial is not None
    assert (len(one.factorial.cells), one.factorial.of, one.factorial.not_estimable) == (8, 8, ())
    effects = {effect.factors: effect for effect in one.factorial.effects}
    assert effects["r_image_weight",].difference.verdict == "better"
    assert one.factorial.factors["r_image_weight"] == ("0.0", "0.05")
    assert effects["augment",].difference.verdict == "inconclusive"
    assert {effect.kind for effect in one.factorial.effects} == {"main", "interaction"}
    cells = {cell.changed: cell.estimate.value or 0 for cell in one.factorial.cells}
    changed = [value for names, value in cells.items() if "r_image_weight" in names]
    kept = [value for names, value in cells.items() if "r_image_weight" not in names]
    expected = np.mean(kept) - np.mean(changed)
    assert effects["r_image_weight",].difference.estimate.value == pytest.approx(expected)
    sizes = [abs(effect.difference.estimate.value or 0) for effect in one.factorial.effects]
    assert sizes == sorted(sizes, reverse=True)


def test_two_designs_of_one_kind_are_not_taken_together(run: Run, comparisons: list[Comparison]) -> None:
    """Two 2 x 2 factorials that share an arm: pooled, they would be five of eight cells."""
    members = {"100": (3, 5), "010": (3,), "110": (3,), "001": (5,), "101": (5,)}
    arms = [
        arm
        | {
            "ablations": [
                arm["ablation"] | {"number": number}
                for number in members.get(arm["name"].removeprefix("dxa_vae.f"), ())
            ],
            "ablation": None,
        }
        for arm in run.meta["arms"]
    ]
    numbered = replace(run, meta={**run.meta, "arms": arms})
    comparison = next(one for one in comparisons if one.task == "anthropometry")
    studies = [one for one in ablations(numbered, comparison, 50) if one.factorial is not None]
    assert [one.number for one in studies] == [0, 1]
    assert len({study_key(one) for one in studies}) == 2
    for study, factor in zip(studies, ("kl_weight", "augment"), strict=True):
        found = study.factorial
        assert found is not None
        assert set(found.factors) == {factor, "r_image_weight"}
        assert (len(found.cells), found.of, found.not_estimable) == (4, 4, ())
        cells = {cell.changed: cell.estimate.value or 0 for cell in found.cells}
        kept = np.mean([value for names, value in cells.items() if factor not in names])
        changed = np.mean([value for names, value in cells.items() if factor in names])
        (effect,) = (one for one in found.effects if one.factors == (factor,))
        assert effect.difference.estimate.value == pytest.approx(kept - changed)


def test_doses_are_ordered_and_compared_with_the_base(analyses: Analyses) -> None:
    one = next(one for one in analyses.ablations if one.base == "arm:dxa_vae" and "matched" in one.protocols)
    (dose,) = one.doses
    assert [point.value for point in dose.points] == [0.01, 0.05, 0.3]
    assert [point.difference is None for point in dose.points] == [False, True, False]
    values = [point.estimate.value or 0 for point in dose.points]
    assert dose.trend.difference.estimate.value == pytest.approx(values[-1] - values[0])


def test_a_declared_child_is_attributed_to_its_one_factor(analyses: Analyses) -> None:
    one = next(one for one in analyses.ablations if one.base == "arm:nodxa_vae")
    assert [(effect.factors, effect.attributable) for effect in one.children] == [(("r_image_weight",), True)]


def controls_of(analyses: Analyses) -> dict[str, Control]:
    return {one.kind: one for one in analyses.controls if "matched" in one.protocols}


def test_controls_come_out_as_they_must(analyses: Analyses) -> None:
    found = controls_of(analyses)
    assert {kind: one.passed for kind, one in found.items()} == {
        "aa": True,
        "shuffled_labels": True,
        "broken_physics": True,
    }
    assert found["aa"].against == found["broken_physics"].against == "arm:dxa_vae"
    assert "seeds not shared" not in found["shuffled_labels"].resampled
    assert found["shuffled_labels"].against == "baseline:mean"
    assert found["shuffled_labels"].separated == 0
    assert found["aa"].rows == found["shuffled_labels"].rows > 1
    assert f"{found['aa'].separated} of {found['aa'].rows} uncorrected intervals" in found["aa"].sentence
    assert found["broken_physics"].separated is None


def test_controls_can_fail(tmp_path: Path) -> None:
    records = DesignRecords(
        patients=40, fractions=(), splits=1, draws=2, pretraining_seeds=(7, 8), unanalysable={}
    )
    records.noise |= {"dxa_vae.aa": 0.6, "dxa_vae.shuffled": 0.2, "dxa_vae.permuted": 0.29}
    records.guessing = ()
    run = read_run(records.write(tmp_path / "run"))
    found = controls_of(analyse(run, compare(run, DRAWS), DRAWS))
    assert {kind: one.passed for kind, one in found.items()} == {
        "aa": False,
        "shuffled_labels": False,
        "broken_physics": None,  # neither shown to be worse nor to be as good
    }
    assert "test data leak" in found["shuffled_labels"].sentence
    for kind in ("aa", "shuffled_labels"):
        assert (found[kind].separated or 0) >= 0.8 * found[kind].rows


def test_strips_hold_every_trial(run: Run, analyses: Analyses) -> None:
    one = next(one for one in analyses.robustness if one.protocols == ("matched",))
    dots = {strip.column: strip.points for strip in one.seeds}
    assert len(dots["arm:dxa_vae"]) == 6
    assert len(dots["baseline:mean"]) == 1
    assert {(point.pretraining_seed, point.seed) for point in dots["arm:dxa_vae"]} == {
        (pretraining, seed) for pretraining in (7, 8, 9) for seed in (100, 101)
    }
    splits = {strip.column: {point.split for point in strip.points} for strip in one.splits}
    assert splits["arm:dxa_vae"] == {0, 1, 2, 3}


def test_differences_over_splits_are_corrected_for_their_overlap(analyses: Analyses) -> None:
    one = next(one for one in analyses.robustness if one.protocols == ("matched",))
    assert one.split_count == 4
    assert one.test_share == pytest.approx(50 / 200)
    strips = {strip.column: strip.points for strip in one.splits}
    contrast = next(
        one for one in one.contrasts if (one.first, one.second) == ("arm:dxa_vae", "arm:imagenet")
    )
    each = [
        np.mean([point.value for point in strips[contrast.first] if point.split == split])
        - np.mean([point.value for point in strips[contrast.second] if point.split == split])
        for split in range(4)
    ]
    difference = contrast.differences[0]
    assert difference is not None
    assert difference.estimate.value == pytest.approx(np.mean(each))
    # as scikit-learn's documentation computes it for repeated splits (compare grid search models)
    corrected = np.sqrt(np.var(each, ddof=1) * (1 / 4 + 50 / 200))
    assert difference.estimate.standard_error == pytest.approx(corrected)
    assert difference.estimate.degrees_of_freedom == 3


def test_without_overlap_it_is_students_test() -> None:
    from scipy import stats  # noqa: PLC0415

    values = [0.1, 0.3, 0.2, 0.25]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = corrected_resampled(values, share=0.0)
    assert (found.low, found.high) == (pytest.approx(expected[0]), pytest.approx(expected[1]))


def test_searches_draw_expectations_and_incumbents(analyses: Analyses) -> None:
    (one,) = analyses.searches
    assert one.independent
    curve = one.curves[0]
    assert (curve.draws, len(curve.expected), len(curve.incumbents)) == (4, 2, 4)
    best = [point.incumbent for point in curve.incumbents]
    assert best == sorted(best)  # type: ignore[type-var]


def test_costs_count_pretraining_in_full_and_shared(analyses: Analyses) -> None:
    one = next(one for one in analyses.costs if one.protocols == ("matched",))
    point = next(point for point in one.points if point.column == "arm:dxa_vae")
    assert point.pretraining_seconds == 3 * 240.0
    assert point.shared_by == 2
    assert point.full_seconds - point.amortised_seconds == pytest.approx(360.0)
    worst = next(point for point in one.points if point.column == "arm:nodxa_vae")
    assert worst.dominated_by == ()  # the same seconds: nobody is cheaper


def test_gaps_are_counted_compared_and_filled(run: Run, analyses: Analyses) -> None:
    one = next(one for one in analyses.fillings if one.protocols == ("matched",))
    counts = {line.column: (line.analysable, line.scans) for line in one.analysable}
    assert counts["arm:imagenet"] == (45, 50)
    assert counts["arm:nodxa_vae"] == (40, 50)
    assert counts["arm:dxa_vae"] == (50, 50)
    assert [table.method for table in one.tables] == ["training mean", "worst error"]
    complete = {line.key: line for line in compare(run, 20)[1].tables[0].statistics[0].lines}
    assert complete["Hip"].scans == 40
    for table in one.tables:
        lines = {line.key: line for line in table.statistics[0].lines}
        assert lines["Hip"].scans == 50
        assert table.filled["arm:imagenet"] == 5 * len(MEASURES) * 6
        assert table.filled["arm:dxa_vae"] == 0


def test_the_mean_is_filled_in_as_a_person_would(run: Run, analyses: Analyses) -> None:
    one = next(one for one in analyses.fillings if one.protocols == ("matched",))
    trials = run.trials.filter(
        (pl.col("strategy") == "imagenet")
        & (pl.col("stage") == "final")
        & (pl.col("task") == "anthropometry")
        & pl.col("label_fraction").is_null()
        & (pl.col("split") == 0)
        & pl.col("protocols").list.contains("matched")
    )
    rows = run.predictions.join(trials.select("key"), on="key").filter(pl.col("measure") == "Hip")
    each = [
        r2_score(own["target"], own["prediction"].fill_null(own["fallback"]))
        for _, own in rows.group_by("key")
    ]
    hip = next(line for line in one.tables[0].statistics[0].lines if line.key == "Hip")
    cell = hip.cells["arm:imagenet"]
    assert cell is not None
    assert cell.value == pytest.approx(np.mean(each))


def test_the_worst_error_costs_more_than_the_mean(analyses: Analyses) -> None:
    one = next(one for one in analyses.fillings if one.protocols == ("matched",))
    found = [next(one for one in table.statistics if one.name == "rmse") for table in one.tables]
    rmse = [statistic.lines[3].cells["arm:nodxa_vae"] for statistic in found]
    assert rmse[0] is not None and rmse[1] is not None
    assert (rmse[1].value or 0) > (rmse[0].value or 0)


@pytest.mark.parametrize("seed", range(4))
def test_analysable_scans_are_compared_as_statsmodels_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.random(60) < 0.9, rng.random(60) < 0.7
    found = compare_analysable("a", "b", first, second)
    table = [[found.both, found.only_first], [found.only_second, found.neither]]
    assert sum(map(sum, table)) == 60
    assert found.p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert found.difference == pytest.approx(first.mean() - second.mean())


def test_without_correlation_the_interval_is_that_of_independent_shares() -> None:
    table = (40, 10, 16, 4)  # 40 x 4 = 10 x 16
    expected = confint_proportions_2indep(50, 70, 56, 70, method="newcomb", compare="diff")
    assert newcombe(*table) == pytest.approx(expected, abs=1e-9)


def test_the_interval_of_paired_shares_covers_and_turns_round() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1_000):
        counts = rng.multinomial(60, [0.75, 0.15, 0.05, 0.05])
        low, high = newcombe(*counts)
        covered += low <= 0.1 <= high
        turned = newcombe(counts[0], counts[2], counts[1], counts[3])
        assert turned == pytest.approx((-high, -low))
    assert 0.93 <= covered / 1_000 <= 0.98
    assert newcombe(50, 0, 0, 0)[0] < 0 < newcombe(50, 0, 0, 0)[1]


def test_what_speaks_against_the_result_becomes_a_warning(
    analyses: Analyses, comparisons: list[Comparison]
) -> None:
    found = list(cautions(analyses, comparisons))
    assert not any("control" in one for one in found)
    failed = replace(analyses.controls[0], passed=False, sentence="It failed.")
    found = list(cautions(replace(analyses, controls=(failed,)), comparisons))
    assert found[0] == "Anthropometry (matched), control dxa_vae.aa: It failed."
    gaps = analyses.fillings[0]
    endpoint = gaps.tables[0].endpoint
    assert endpoint is not None
    turned = tuple(
        replace(one, differences=tuple(replace(each, verdict="worse") for each in one.differences if each))
        for one in endpoint.contrasts
    )
    other = replace(gaps.tables[0], endpoint=replace(endpoint, contrasts=turned))
    found = list(cautions(replace(analyses, fillings=(replace(gaps, tables=(other,)),)), comparisons))
    assert "the verdict changes for noDXA-VAE against ImageNet" in found[-1]


def test_doubt_about_the_best_arm_is_its_share_of_lost_resamples(comparisons: list[Comparison]) -> None:
    one = next(one for one in comparisons if one.protocols == ("matched",))
    best = next(rank for rank in one.ranks if rank.column == "arm:dxa_vae")
    assert one.doubt == pytest.approx(1 - best.best)


def test_a_plain_run_has_no_such_analyses(tmp_path: Path) -> None:
    run = read_run(Records(patients=12, exhibits=False).write(tmp_path / "run"))
    found = analyse(run, compare(run, 50), 50)
    assert (found.labels, found.controls, found.fillings) == ((), (), ())
    assert all(one.split_count == 1 and one.contrasts == () for one in found.robustness)


def test_all_of_it_can_be_written_as_json(analyses: Analyses) -> None:
    text = json.dumps(asdict(analyses), allow_nan=False)
    assert '"resampled"' in text
