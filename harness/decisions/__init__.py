"""Which settings are tried, which are chosen, and what follows from that: pretraining first, then tasks.

Two protocols come from the same trials. `tuned`: each arm's own best draw. `matched`: one draw for all, by
the mean rank over the reference arms. Where hyperparameters of pretraining are searched, both are chosen
there first, and tasks are tuned on the weights of each; where the two agree, their trials are shared.

``standing``   who follows whom, and what a matched setting waits for
``hunt``       one search, and how the journal knows it
``hunts``      all of them
``choosing``   the two rules, applied
``decisions``  what follows from a choice
``forecast``   what follows from choices that are not made yet
"""

from harness.decisions.decisions import Decisions
from harness.decisions.hunt import recorded_proposals, tried

__all__ = ["Decisions", "recorded_proposals", "tried"]
