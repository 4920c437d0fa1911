"""The checks that strategies and tasks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.conformance.finding import Findings
from harness.conformance.laboratory import Laboratory, Observation
from harness.resources import size_text
from harness.specs import TrialSpec
from registry.contracts import ResourceRequest


def judge_work(findings: Findings, observation: Observation, *, mend: str) -> bool:
    """Whether the trials of a worker's process ended well."""
    too_slow = "took longer" in observation.trouble
    return findings.judge(
        "works in a worker's process",
        not observation.failure,
        seen=f"{len(observation.outcomes)} trials in a process of their own",
        otherwise=observation.failure,
        mend="let the suite's settings decide the length, or raise --time-limit" if too_slow else mend,
    )


def judge_manners(findings: Findings, laboratory: Laboratory, observation: Observation) -> None:
    """What was opened and written on the way."""
    seen = observation.seen
    attempts = [f"split {what}" for what in seen["closed_splits"]] + list(seen["test_files"])
    check = "reads no test data"
    if laboratory.hidden or attempts:
        findings.judge(
            check,
            not attempts,
            seen=f"works alike where the {laboratory.hidden} test files do not exist",
            otherwise=f"tried to open {', '.join(dict.fromkeys(attempts))}",
            mend="open the splits 'train' and 'validation' alone, with context.open_split",
        )
    else:
        findings.leave_out(check, "no file of the cohort has 'test' in its name")
    written = list(dict.fromkeys(seen["written"]))
    findings.judge(
        "writes only where it may",
        not written,
        seen="scratch folder, temporary files and caches",
        otherwise=f"wrote {', '.join(written[:3])}{' and more' if len(written) > 3 else ''}",
        mend="write to context.scratch; what is to stay belongs into the artifact or the predictions",
    )


def judge_resuming(
    findings: Findings,
    laboratory: Laboratory,
    spec: TrialSpec,
    *,
    artifact: str | None,
    result: Callable[[Observation], Any],
    expected: Any,
) -> None:
    """A trial that was killed half-way and goes on ends as one that was left alone.

    Parameters
    ----------
    artifact
        The weights that the trial starts from.
    result
        What to compare, from the observation of a trial that ended.
    expected
        The same of the trial that was left alone.
    """
    check = "goes on after being killed"
    first = laboratory.observe("resumed", [spec], artifact=artifact, interrupt=True)
    scratch = laboratory.scratch("resumed", spec)
    if not first.killed:
        findings.leave_out(check, "it reported progress less than twice, so it was over before it was killed")
        return
    kept = sorted(path.name for path in scratch.rglob("*") if path.is_file())
    if not kept:
        findings.leave_out(check, "it keeps no checkpoint in context.scratch: it starts again")
        return
    second = laboratory.observe("resumed", [spec], artifact=artifact)
    same = not second.failure and result(second) == expected
    findings.judge(
        check,
        same,
        seen=f"killed half-way, it went on from {', '.join(kept)} to the same end",
        otherwise=second.failure or f"killed half-way, it went on from {', '.join(kept)} to another end",
        mend="keep all that later steps depend on in the checkpoint, and derive random numbers from "
        "(seed, step)",
    )


#: Processor time beyond what is declared that is put down to the interpreter and its libraries.
_TOLERANCE, _TOLERANCE_SECONDS = 1.25, 0.2
_SHORTEST_SECONDS = 1.0


def judge_resources(
    findings: Findings, laboratory: Laboratory, observation: Observation, declared: ResourceRequest
) -> None:
    """Whether trials took no more than the suite gives them or they declare, and left nothing running."""
    check = "keeps to its resources"
    rows = [outcome["row"] for outcome in observation.outcomes]
    cpu, wall = (sum(row[name] for row in rows) for name in ("cpu_seconds", "wall_seconds"))
    left = list(observation.seen.get("left_running", ()))
    if left:
        findings.judge(
            check,
            False,
            seen=f"left running: {', '.join(left[:3])}",
            mend="end and wait for every process that you start",
        )
        return
    peak = max((row.get("peak_memory_bytes") or 0 for row in rows), default=0)
    if 0 < declared.memory_bytes < peak:
        findings.judge(
            check,
            False,
            seen=f"{size_text(peak)} of memory on tiny data, {size_text(declared.memory_bytes)} declared",
            mend="declare what a trial on data of the usual size needs, or use less",
        )
        return
    if cpu < _SHORTEST_SECONDS:
        findings.leave_out(check, f"{cpu:.1f} s of work are too short to tell")
        return
    threads = laboratory.plan.suite.resources.threads
    processors = max(threads, declared.cpus)
    findings.judge(
        check,
        cpu <= _TOLERANCE * processors * wall + _TOLERANCE_SECONDS,
        seen=f"{cpu:.1f} s of processors in {wall:.1f} s, with threads = {threads}"
        + (f" and {declared.cpus:g} CPUs declared" if declared.cpus else ""),
        mend="bound what the trial uses by context.threads, in libraries and in processes that you start, "
        "or declare resources={'cpus': ...}",
    )
