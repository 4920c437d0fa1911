"""The graph of strategies: every strategy once, below its parent, with what it changes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from registry.ablation import attributions, changed_factors, children, design_of
from registry.catalog import Catalogue
from registry.contracts import StrategyCard
from tests.harness.digits_run import PLUGIN, harness


def card(name: str, parent: str | None = None, **factors: object) -> StrategyCard:
    return StrategyCard(name, name, frozenset(), "toy", parent=parent, factors=factors)


def test_every_card_is_in_the_graph_once_even_where_its_parent_is_not() -> None:
    cards = {one.name: one for one in (card("a"), card("b", "a"), card("c", "b"), card("d", "elsewhere"))}
    graph = children(cards)
    assert {parent: [one.name for one in found] for parent, found in graph.items()} == {
        None: ["a", "d"],
        "a": ["b"],
        "b": ["c"],
    }


def test_two_strategies_differ_in_every_factor_that_either_has() -> None:
    found = changed_factors(card("a", same=1, rate=0.0, gone=3), card("b", same=1, rate=0.1, new="x"))
    assert found == {"rate": (0.0, 0.1), "gone": (3, None), "new": (None, "x")}


def test_the_physics_term_is_the_one_factor_between_the_two_autoencoders() -> None:
    catalogue = Catalogue.built_in()
    parent, child = (catalogue.strategy(name).card for name in ("nodxa_vae", "dxa_vae"))
    assert child.parent == parent.name
    assert changed_factors(parent, child) == {"r_image_weight": (0.0, 0.1)}


def test_the_tree_shows_children_below_their_parents() -> None:
    lines = harness("list", "--tree", "--plugin", str(PLUGIN)).stdout.splitlines()
    assert any(line.strip("├└─ ") == "dxa_vae: r_image_weight 0.0 -> 0.1" for line in lines)
    place = lines.index("principal_components (whiten False)")
    assert lines[place + 1] == "└── whitened_components: whiten False -> True"
    assert "random_projection" in lines


def test_a_plug_in_below_a_plug_in(tmp_path: Path) -> None:
    plugin = tmp_path / "deeper.py"
    plugin.write_text(
        "from registry.contracts import strategy\n"
        "from tests.domains.digits import PrincipalComponents\n"
        "@strategy('first', provides={'encoder'}, domain='digits', changes={'whiten': 1})\n"
        "class First(PrincipalComponents):\n    pass\n"
        "@strategy('second', provides={'encoder'}, domain='digits', changes={'whiten': 2})\n"
        "class Second(First):\n    pass\n"
    )
    lines = harness("list", "--tree", "--plugin", str(PLUGIN), "--plugin", str(plugin)).stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if "first: whiten False -> 1" in line)
    assert lines[place + 1].strip("│ ") == "└── second: whiten 1 -> 2"


def test_the_tree_of_a_suite_shows_the_arms_that_it_derives() -> None:
    lines = harness("list", "--tree", "--suite", "ablation").stdout.splitlines()
    shown = [line.strip("│├└─ ") for line in lines]
    assert lines[0].startswith("nodxa_vae (perceptual_weight 1.0, ")
    assert lines[0].endswith("[leave one out; factorial; ladder; dose]")
    assert "dxa_vae: r_image_weight 0.0 -> 0.1" in shown
    assert "dxa_vae.r_image_weight_0.3: r_image_weight 0.1 -> 0.3 [dose]" in shown
    assert any(line.endswith("[leave one out; control: broken_physics]") for line in shown)
    assert harness("list", "--suite", "ablation").returncode == 2


# Designs --------------------------------------------------------------------------------------------


def test_a_half_fraction_of_four_factors_is_the_textbook_one() -> None:
    """Box, Hunter & Hunter (2005), table of fractional designs: 2^(4-1), D = ABC, I = ABCD, resolution IV."""
    design = design_of("factorial", {name: [1] for name in "abcd"}, generators={"d": ["a", "b", "c"]})
    assert len(design.runs) == 8
    assert design.words == (frozenset("abcd"),)
    assert design.resolution == 4
    assert design.aliases("a") == []
    assert design.aliases("ab") == [("c", "d")]


def test_a_quarter_fraction_of_five_factors_is_the_textbook_one() -> None:
    """2^(5-2), D = AB, E = AC: I = ABD = ACE = BCDE, resolution III."""
    generators = {"d": ["a", "b"], "e": ["a", "c"]}
    design = design_of("factorial", {name: [1] for name in "abcde"}, generators=generators)
    assert set(design.words) == {frozenset("abd"), frozenset("ace"), frozenset("bcde")}
    assert design.resolution == 3
    assert set(design.aliases("a")) == {("b", "d"), ("c", "e")}


@given(st.integers(2, 6), st.randoms(use_true_random=False))
def test_fractions_are_balanced_and_their_main_effects_orthogonal(factors: int, random: Random) -> None:
    names = list("abcdef"[:factors])
    generators = {}
    if factors > 2:
        generated = random.choice(names)
        others = [name for name in names if name != generated]
        generators = {generated: random.sample(others, random.randint(2, len(others)))}
    design = design_of("factorial", {name: [0] for name in names}, generators=generators)
    assert len(design.runs) == 2 ** (factors - len(generators))
    signs = np.array([[-1 if name in run else 1 for name in names] for run in design.runs])
    assert (signs.T @ signs == len(design.runs) * np.eye(factors)).all()
    assert (signs.sum(axis=0) == 0).all()
    assert {} in design.runs


@given(st.permutations("abcd"), st.permutations("abcd"))
def test_every_step_of_a_ladder_changes_one_factor(first: list[str], second: list[str]) -> None:
    if first == second:
        return
    design = design_of("ladder", {name: [0] for name in "abcd"}, orders=[first, second])
    for order, steps in zip((first, second), design.ladders, strict=True):
        runs = [set(design.runs[step]) for step in steps]
        assert runs[0] == set("abcd") and runs[-1] == set()
        assert [before - after for before, after in pairwise(runs)] == [{factor} for factor in order]


# Attribution ----------------------------------------------------------------------------------------


def test_a_difference_is_a_factor_s_only_where_nothing_else_differs() -> None:
    cards = {
        "root": card("root", rate=0, depth=1),
        "child": card("child", "root", rate=1, depth=1),
        "grandchild": card("grandchild", "child", rate=1, depth=2),
        "other": card("other", rate=0, depth=1),
    }
    arms = {name: cards[name] for name in ("root", "child", "grandchild", "other")}
    found = {(one.one, one.other): one for one in attributions(arms, cards)}
    assert found["root", "child"].one_factor
    assert str(found["root", "child"]) == "rate: 0 → 1"
    assert not found["root", "grandchild"].one_factor
    assert str(found["root", "grandchild"]) == "not one-factor: rate, depth"
    assert found["child", "grandchild"].one_factor
    assert str(found["root", "other"]) == "not one-factor: different strategies"


def test_arms_are_of_one_descent_through_a_strategy_that_takes_no_part() -> None:
    cards = {
        "absent": card("absent", rate=0),
        "a": card("a", "absent", rate=1),
        "b": card("b", "absent", rate=2),
    }
    (found,) = attributions({name: cards[name] for name in ("a", "b")}, cards)
    assert found.one_factor
