"""The graph of strategies: every strategy once, below its parent, with what it changes."""

from __future__ import annotations

from pathlib import Path

from registry.ablation import changed_factors, children
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
