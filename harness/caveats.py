"""What a suite's own choices take away from its conclusions, in sentences: for plans, records and reports."""

from __future__ import annotations

from harness.plan import Plan


def caveats(plan: Plan) -> list[str]:
    """Sentences that belong beside every result of this suite."""
    suite, search = plan.suite, plan.suite.search
    tuned = any(plan.draws.values()) or bool(plan.searched)
    found = []
    if tuned and suite.seeds.tuning_pretraining is None:
        found.append(
            f"Tuning started from the weights of pretraining seed {suite.seeds.tuned_weights}, which are "
            "judged too: chosen settings may suit these weights better than others "
            "(seeds.tuning_pretraining gives tuning weights of its own)."
        )
    spaces = [arm.card.title for arm in plan.arms.values() if arm.is_strategy and arm.space]
    if spaces and not plan.searched:
        found.append(
            f"Hyperparameters of pretraining were not searched: {', '.join(spaces)} used the declared values."
        )
    if search.early_stopping is not None:
        found.append(
            "Trials that did badly were stopped early. Arms spent the same share of full trials, so a budget "
            "bought some of them more settings than others; a draw that was stopped ranks last."
        )
    if suite.budget.seconds is not None:
        found.append(
            f"Tuning was bounded by {suite.budget.seconds:g} s per arm and task: how many settings an arm "
            "tried depends on the machine."
        )
    if search.method == "tpe":
        found.append(
            "Settings beyond the shared ones were proposed from the results so far, in the order in which "
            "these came in: another run may propose others. All proposals are on record."
        )
    return found
