"""Suites are checked with a message that mends; the identity of a trial is what decides its result."""

from __future__ import annotations

import dataclasses
import itertools
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.conditions import Place
from harness.resources import TrialResources
from harness.specs import TrialSpec
from harness.suite import load_suite, parse_suite
from registry.contracts import InputError
from tests.harness.toys import toy_plan, toy_strategy, toy_suite, toy_task

MINIMAL = {"schema": 1, "name": "mine", "domain": "toy", "strategies": ["a", "b"], "tasks": ["t"]}


def complaint(table: dict) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_suite(table, source="suite file mine.toml")
    return caught.value


def test_minimal_suite_has_the_documented_defaults() -> None:
    suite = parse_suite(MINIMAL, source="x")
    assert suite.seeds.model_dump(exclude_none=True) == {
        "draws": 0,
        "pretraining": (0,),
        "tuning": 100,
        "final": (0, 1),
    }
    assert suite.seeds.tuned_weights == 0
    assert suite.budget.model_dump() == {"draws": 3, "pretraining_draws": 1, "seconds": None}
    assert suite.search.model_dump(exclude_defaults=True) == {}
    assert suite.references == ("a", "b")
    assert suite.resources.model_dump(exclude_defaults=True) == {}
    assert suite.resources.shapes == (TrialResources(cpus=1, gpus=0),)
    assert suite.resources.threads == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stratgies": ["a"]}, ["suite file mine.toml", "'stratgies'", "did you mean 'strategies'?"]),
        ({"seeds": {"tunning": 3}}, ["'seeds.tunning'", "did you mean 'tuning'?"]),
        ({"seeds": {"tuning": 1}}, ["seeds", "tuning seed 1 is also a final seed", "a seed of its own"]),
        ({"seeds": {"final": []}}, ["seeds.final", "[]"]),
        ({"seeds": {"final": [1, 1]}}, ["seeds.final", "1 is listed twice"]),
        ({"seeds": {"tuning": -1}}, ["seeds.tuning = -1", "greater than or equal to 0"]),
        ({"budget": {"draws": 0}}, ["budget.draws = 0"]),
        ({"budget": {"draws": 2.5}}, ["budget.draws = 2.5", "valid integer"]),
        ({"budget": {"draws": True}}, ["budget.draws = True"]),
        ({"strategies": ["a", "a"]}, ["strategies", "'a' is listed twice"]),
        ({"strategies": []}, ["strategies = []"]),
        ({"strategies": ["../a"]}, ["strategies.0 = '../a'"]),
        ({"reference_arms": ["c"]}, ["reference_arms names 'c'", "add it to strategies"]),
        ({"schema": 2}, ["schema = 2"]),
        ({"resources": {"threads": 0}}, ["resources.threads = 0"]),
        ({"name": "a/b"}, ["name = 'a/b'"]),
    ],
)
def test_wrong_suites_name_file_field_value_and_mend(change: dict, words: list[str]) -> None:
    text = str(complaint({**MINIMAL, **change}))
    for word in ["suite file mine.toml", *words]:
        assert word in text


def test_missing_key_is_named() -> None:
    table = {key: value for key, value in MINIMAL.items() if key != "tasks"}
    assert "'tasks' is missing" in str(complaint(table))


def test_suite_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no_such\.toml' does not exist"):
        load_suite(str(tmp_path / "no_such.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("schema = 1\nname = \n")
    with pytest.raises(InputError, match=r"broken\.toml is no valid TOML.*line 2"):
        load_suite(str(broken))
    with pytest.raises(InputError, match=r"suite 'no_such' is not known"):
        load_suite("no_such")


def test_narrowing_drops_reference_arms_that_left() -> None:
    suite = toy_suite(["a", "b", "c"], ["t"], reference_arms=["a", "b"])
    assert suite.narrowed(strategies=("b", "c")).references == ("b",)
    assert suite.narrowed(strategies=("c", "d")).references == ("c", "d")
    assert suite.narrowed() == suite


def keys(plan: object) -> set[str]:
    return {trial.key for trial in plan.known_trials}  # type: ignore[attr-defined]


@given(st.permutations(["s0", "s1", "s2"]), st.permutations(["t0", "t1"]), st.integers(1, 4))
def test_identity_ignores_order_of_lists_name_budget_and_protocol(
    strategies: list[str], tasks: list[str], draws: int
) -> None:
    classes = {name: toy_strategy(name) for name in strategies}
    task_classes = {name: toy_task(name, baselines=("mean",)) for name in tasks}
    reference = toy_plan([classes[n] for n in sorted(classes)], [task_classes[n] for n in sorted(tasks)])
    other = toy_plan(
        [classes[n] for n in strategies],
        [task_classes[n] for n in tasks],
        name="another",
        title="Another",
        budget={"draws": draws},
    )
    smaller, larger = sorted([keys(reference), keys(other)], key=len)
    assert smaller <= larger
    finals = [
        list(reference.finals(Place("s0", "t0"), {"rate": 0.1}, draw=0, protocols=(p,)))
        for p in ("matched", "tuned")
    ]
    assert [t.key for t in finals[0]] == [t.key for t in finals[1]]


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_identity_ignores_order_of_tables_and_survives_the_way_to_a_worker(settings: dict) -> None:
    spec = TrialSpec("tune", "toy", settings, seed=1, upstream=("k",))
    reversed_settings = dict(reversed(list(settings.items())))
    assert TrialSpec("tune", "toy", reversed_settings, seed=1, upstream=("k",)).key == spec.key
    assert TrialSpec.from_dict(json.loads(json.dumps(spec.as_dict()))).key == spec.key


def test_whatever_decides_the_result_decides_the_identity() -> None:
    base = TrialSpec("final", "toy", {"steps": 1}, seed=0, strategy="s", task="t", cohort="c")
    variants = [
        base,
        TrialSpec("tune", "toy", {"steps": 1}, seed=0, strategy="s", task="t", cohort="c"),
        TrialSpec("final", "toy", {"steps": 2}, seed=0, strategy="s", task="t", cohort="c"),
        TrialSpec("final", "toy", {"steps": 1}, seed=1, strategy="s", task="t", cohort="c"),
        TrialSpec("final", "toy", {"steps": 1}, seed=0, strategy="s", task="t", cohort="d"),
        TrialSpec("final", "toy", {"steps": 1}, seed=0, strategy="s", task="t", cohort="c", upstream=("k",)),
        TrialSpec("final", "toy", {"steps": 1}, seed=0, strategy="s", task="t", cohort="c", task_version="2"),
        TrialSpec("final", "toy", {"steps": 1}, seed=0, strategy="s", task="t", cohort="c", task_plugin="p"),
        TrialSpec("final", "toy", {"steps": 1}, seed=0, strategy="s", task="t", cohort="c", baseline="b"),
        TrialSpec(
            "final", "toy", {"steps": 1}, seed=0, strategy="s", task="t", cohort="c", hyperparameters=None
        ),
    ]
    for one, other in itertools.combinations(variants, 2):
        assert one.key != other.key


def test_what_has_no_canonical_text_is_refused() -> None:
    with pytest.raises(InputError, match="no canonical text"):
        _ = TrialSpec("tune", "toy", {"rate": float("nan")}, seed=0, strategy="s", task="t").key


def test_fields_that_came_later_leave_the_keys_of_earlier_trials_alone() -> None:
    """The key is the one that the first version of the format gave."""
    spec = TrialSpec(
        stage="final",
        domain="toy",
        settings={"size": 3},
        seed=1,
        strategy="s",
        strategy_version="1",
        task="t",
        task_version="2",
        hyperparameters={"rate": 0.1},
        pretraining_seed=0,
        cohort="c",
        upstream=("u",),
    )
    assert spec.key == "227b9e33586ee37ca69515e281685f57998a8c0f2a14a2326436b339a937d6ee"
    later = {"label_fraction": 0.5, "label_draw": 0, "shuffled_labels": True, "stream": 1}
    keys = {dataclasses.replace(spec, **{name: value}).key for name, value in later.items()}
    assert len({spec.key, *keys}) == 5
    assert TrialSpec.from_dict(json.loads(json.dumps(spec.as_dict()))).key == spec.key


def test_narrowing_takes_along_what_refers_to_what_left() -> None:
    table = {
        **MINIMAL,
        "tasks": ["t", "u"],
        "label_efficiency": {"tasks": ["u"]},
        "controls": {"aa": ["a", "b"], "shuffled_labels": ["b"]},
        "ablation": [{"base": "b", "design": "leave_one_out", "factors": {"x": 1}}],
        "margins": {"t": {"r2": 0.1}, "u": {"r2": 0.1}},
    }
    suite = parse_suite(table, source="x").narrowed(strategies=("a",), tasks=("t",))
    assert (suite.controls.aa, suite.controls.shuffled_labels, suite.ablation) == (("a",), (), ())
    assert suite.label_efficiency is None
    assert set(suite.margins) == {"t"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"controls": {"aa": ["c"]}}, "controls.aa names 'c', which is not among strategies"),
        ({"label_efficiency": {"fractions": [0.0]}}, "label_efficiency.fractions.0 = 0.0"),
        ({"label_efficiency": {"fractions": [0.5, 0.5]}}, "0.5 is listed twice"),
        ({"label_efficiency": {"fraction": 0.5}}, "did you mean 'fractions'?"),
        ({"label_efficiency": {"tasks": ["x"]}}, "label_efficiency.tasks names 'x'"),
        ({"ablation": [{"base": "c", "design": "dose", "factors": {"x": [1, 2]}}]}, "ablation.0.base names"),
        ({"ablation": [{"base": "a", "design": "doze", "factors": {"x": 1}}]}, "ablation.0.design = 'doze'"),
        ({"ablation": [{"base": "a", "design": "dose", "factor": {"x": 1}}]}, "did you mean 'factors'?"),
        ({"ablation": [{"base": "a", "design": "dose", "factors": {}}]}, "ablation.0.factors = {}"),
        ({"ablation": [{"base": "a", "design": "dose", "factors": {"x": [1, 1]}}]}, "1 is listed twice"),
        (
            {"ablation": [{"base": "a", "design": "dose", "factors": {"x": 1}, "orders": [["x"]]}]},
            "orders are for design 'ladder'",
        ),
        ({"margins": {"x": {"r2": 0.1}}}, "margins names 'x', which is not among tasks"),
        ({"margins": {"t": {"r3": 0.1}}}, "margins.t.r3: statistic 'r3' is not known; known: bias, ccc"),
        ({"margins": {"t": {"r2": 0.0}}}, "margins.t.r2 = 0.0"),
        ({"margins": {"t": {"r2": "small"}}}, "margins.t.r2 = 'small'"),
        (
            {"endpoints": {"t": {"statistic": "rmsee", "label": "x", "direction": "min"}}},
            "did you mean 'rmse'?",
        ),
        ({"splits": 0}, "splits = 0"),
    ],
)
def test_wrong_axes_name_field_value_and_mend(change: dict, words: str) -> None:
    assert words in str(complaint({**MINIMAL, **change}))


def test_margins_of_rows_may_be_written_as_toml_likes() -> None:
    quoted = tomllib.loads('"rmse.true.total_fat_kg" = 1.0\nr2 = 0.1')
    bare = tomllib.loads("rmse.true.total_fat_kg = 1.0\nr2 = 0.1")
    margins = [parse_suite({**MINIMAL, "margins": {"t": one}}, source="x").margins for one in (quoted, bare)]
    assert margins[0] == margins[1] == {"t": {"rmse.true.total_fat_kg": 1.0, "r2": 0.1}}
