"""The two rules, applied to searches: an arm's own best, and one draw for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.decisions.hunt import Hunt
from harness.search.cell import Setting
from harness.selection import BestMeanRank, BestValidationScore, Choice
from registry.contracts.tables import Direction


@dataclass(frozen=True)
class Chosen:
    """What was chosen for a place under a protocol; `blocked` says why nothing could be."""

    setting: Setting | None
    draw: int | None
    blocked: str | None = None


def own_best(hunt: Hunt, direction: Direction) -> tuple[Choice, Setting | None]:
    """`tuned`: the best draw of a search that came to its end, and its setting."""
    scores, tries = hunt.search.scores(), hunt.search.tried
    choice = BestValidationScore(direction).choose(
        {draw: scores[draw] for draw in scores if tries[draw].status != "pruned"}
    )
    reason = choice.reason
    if choice.draw is None:
        reason = f"{reason}: {hunt.error or 'no draw has a result'}"
    if stopped := hunt.search.count("pruned"):
        reason = f"{reason}; {stopped} more stopped early"
    setting = None if choice.draw is None else hunt.search.settings[choice.draw]
    return replace(choice, reason=reason), setting


def one_for_all(hunts: Mapping[str, Hunt | None], direction: Direction) -> Choice:
    """`matched`: one of the shared draws that all reference arms tried.

    Parameters
    ----------
    hunts
        Reference arm to its search; `None` for an arm that was left without weights.
    """
    searches = {arm: hunt.search for arm, hunt in hunts.items() if hunt is not None}
    common = min((min(len(one.settings), one.limits.shared) for one in searches.values()), default=0)
    scores = {arm: one.scores(common) for arm, one in searches.items()}
    scores |= {arm: {} for arm, hunt in hunts.items() if hunt is None}
    return BestMeanRank(direction).choose(scores)
