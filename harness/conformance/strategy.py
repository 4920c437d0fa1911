"""The checks of a strategy."""

from __future__ import annotations

from typing import Any

from harness.artifacts import ArtifactStore
from harness.conditions import Source
from harness.conformance.finding import Findings
from harness.conformance.laboratory import SEEDS, Laboratory, Observation
from harness.conformance.shared import judge_manners, judge_resources, judge_resuming, judge_work
from registry.contracts import Artifact


def examine_strategy(findings: Findings, laboratory: Laboratory, name: str) -> None:
    """Check the strategy `name`, as far as it works at all."""
    specs = [laboratory.plan.pretraining[Source(name, seed)].spec for seed in SEEDS]
    card = laboratory.plan.arms[name].card
    first = laboratory.observe("first", specs)
    mend = "make it run on the tiny data; the artifact has exactly the parts that `provides` declares"
    if not judge_work(findings, first, mend=mend):
        if first.seen:
            judge_manners(findings, laboratory, first)
        return
    store = ArtifactStore(laboratory.cache("first"))
    artifact = store.load(_digests(first)[0])
    _judge_parts(findings, artifact)
    again = ArtifactStore(laboratory.cache("copied")).save(artifact)
    findings.judge(
        "artifact survives being stored",
        again == _digests(first)[0],
        seen="stored, loaded and stored again, it has the same digest",
        otherwise="stored, loaded and stored again, it has another digest",
        mend="use texts, numbers, lists and tables in its metadata and validation scores",
    )
    second = laboratory.observe("second", list(reversed(specs)))
    findings.judge(
        "same seed, same weights",
        not second.failure and _digests(second)[::-1] == _digests(first),
        seen="in another process, in another order",
        otherwise=second.failure or "another process made other weights from the same seed",
        mend="draw every random number from context.seed; iterate over sorted lists, never over sets",
    )
    differs = len(set(_digests(first))) == len(SEEDS)
    findings.judge(
        "another seed, other weights" if card.seeded else "another seed, the same weights",
        differs == card.seeded,
        seen="as declared",
        otherwise=f"seeded = {card.seeded} is declared, and another seed made "
        f"{'other' if differs else 'the same'} weights",
        mend="draw what is random from context.seed, or declare seeded=False where nothing is"
        if card.seeded
        else "declare seeded=True",
    )
    judge_manners(findings, laboratory, first)
    judge_resources(findings, laboratory, first, card.resources)
    judge_resuming(
        findings, laboratory, specs[0], artifact=None, result=_digests, expected=_digests(first)[:1]
    )


def _digests(observation: Observation) -> list[Any]:
    return [outcome["row"]["artifact"] for outcome in observation.outcomes]


def _judge_parts(findings: Findings, artifact: Artifact) -> None:
    empty = [part for part, weights in artifact.parts.items() if not weights]
    findings.judge(
        "delivers the declared parts",
        not empty,
        seen=", ".join(f"{part} ({len(weights)} tensors)" for part, weights in artifact.parts.items()),
        otherwise=f"without weights: {', '.join(empty)}",
        mend="return weights for every declared part",
    )
