"""What a search spends: in draws, in shares of full trials, in seconds."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.search.cell import CellSearch, Limits, Tried


def cell(**limits: Any) -> CellSearch:
    limits = {"draws": 4, "shared": 10**6, **limits}
    return CellSearch(Limits(**limits), lambda draw: {"rate": draw})


def test_plain_draws_are_all_there_at_once_and_handed_out_once() -> None:
    search = cell()
    assert [draw for draw, _ in search.propose()] == [0, 1, 2, 3]
    assert list(search.propose()) == []
    for draw in (2, 0, 3):
        search.settle(draw, Tried("done", score=draw))
        assert not search.finished
    search.settle(1, Tried("failed"))
    assert search.finished
    assert search.scores() == {0: 0, 1: None, 2: 2, 3: 3}
    assert search.scores(2) == {0: 0, 1: None}
    assert (search.count("done"), search.count("failed")) == (3, 1)


@given(st.lists(st.floats(0.01, 1.0), min_size=100, max_size=100), st.integers(1, 6), st.randoms())
def test_a_budget_of_full_trials_is_never_overspent_and_less_than_one_is_left(
    shares: list[float], draws: int, chance: Any
) -> None:
    search = cell(draws=draws, by_share=True)
    under_way: list[int] = []
    while not search.finished:
        under_way += [draw for draw, _ in search.propose()]
        assert search.share + len(under_way) <= draws + 1e-6
        draw = under_way.pop(chance.randrange(len(under_way)))
        search.settle(draw, Tried("pruned", share=shares[draw]))
    assert search.share <= draws + 1e-6
    assert search.share > draws - 1 or len(search.settings) == 20 * draws
    # which draws there are does not depend on the order in which they ended
    again = cell(draws=draws, by_share=True)
    while not again.finished:
        for draw, _ in again.propose():
            again.settle(draw, Tried("pruned", share=shares[draw]))
    assert len(again.settings) == len(search.settings)


def test_no_draw_starts_after_the_time_is_up() -> None:
    search = cell(draws=10, seconds=5.0)
    while not search.finished:
        ((draw, _),) = search.propose()  # one at a time
        search.settle(draw, Tried("done", score=0.0, seconds=2.0))
    assert (len(search.settings), search.seconds) == (3, 6.0)


def test_time_does_not_buy_more_than_the_draws() -> None:
    search = cell(draws=2, seconds=100.0)
    while not search.finished:
        ((draw, _),) = search.propose()
        search.settle(draw, Tried("done", score=0.0, seconds=1.0))
    assert len(search.settings) == 2


class Proposer:
    """A sampler that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def propose(self, draw: int) -> dict[str, Any]:
        return {"rate": f"mine {draw}"}

    def adopt(self, draw: int, setting: Any) -> None:
        self.told.append((draw, setting["rate"]))

    def learn(self, draw: int, result: Tried) -> None:
        self.told.append((draw, result.score))


def test_a_sampler_sees_the_shared_draws_and_proposes_few_at_a_time() -> None:
    sampler = Proposer()
    search = CellSearch(Limits(draws=6, shared=2, parallel=2), lambda draw: {"rate": draw}, sampler)
    first = dict(search.propose())
    assert first == {0: {"rate": 0}, 1: {"rate": 1}}  # shared ones fill the slots first
    search.settle(0, Tried("done", score=0.5))
    assert dict(search.propose()) == {2: {"rate": "mine 2"}}
    search.settle(1, Tried("failed"))
    assert dict(search.propose()) == {3: {"rate": "mine 3"}}
    assert sampler.told == [(0, 0), (1, 1), (0, 0.5), (1, None)]


def test_recorded_proposals_are_taken_as_they_are() -> None:
    sampler = Proposer()
    recorded = {1: {"rate": "recorded"}}
    search = CellSearch(Limits(2, 1, parallel=2), lambda draw: {"rate": draw}, sampler, recorded)
    assert dict(search.propose()) == {0: {"rate": 0}, 1: {"rate": "recorded"}}
    assert sampler.told == [(0, 0), (1, "recorded")]
