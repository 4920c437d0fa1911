"""The way through the checks: from a name to its findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.conformance.finding import Finding, Findings
from harness.conformance.laboratory import Laboratory, tiny_suite
from harness.conformance.strategy import examine_strategy
from harness.conformance.task import examine_task
from harness.suite.toml import to_toml
from registry.catalog import Catalogue
from registry.contracts import CohortProgress, InputError


def examine(
    name: str,
    *,
    cache: Path,
    plugins: tuple[str, ...] = (),
    time_limit_seconds: float = 120.0,
    executor: str = "tune",
    progress: CohortProgress = lambda done, total, what: None,
) -> list[Finding]:
    """Check the strategy or task `name` on the tiny data of its domain.

    Parameters
    ----------
    cache
        Where the tiny cohort is kept from one check to the next.
    plugins
        Files (absolute) or modules that declare it, its domain or its partners.
    time_limit_seconds
        Of every process: a strategy or task that hangs is a finding.
    executor
        Where the last check runs everything from a suite to a report: `tune` in a worker of Ray, as runs do.

    Returns
    -------
    list[Finding]
        One per check; a failure leaves out what would only repeat it.

    Raises
    ------
    InputError
        If there is no such strategy or task, or its domain has no tiny data.
    """
    catalogue = Catalogue.load(plugins)
    kind = catalogue.kind_of(name)
    card = (catalogue.strategy(name) if kind == "strategy" else catalogue.task(name)).card
    suite = tiny_suite(catalogue, card.domain)
    findings = Findings(name)
    try:
        suite |= _narrowed(catalogue, suite, name, kind)
        # tiny data on any machine: what is declared is for data of the usual size
        suite["resources"] = {**suite.get("resources", {}), "fixed": ["cpus", "gpus", "memory"]}
        laboratory = Laboratory(
            catalogue,
            suite,
            plugins=plugins,
            cohorts=cache,
            time_limit_seconds=time_limit_seconds,
            progress=progress,
        )
    except InputError as error:
        findings.judge("can be planned", False, seen=error.message, mend=error.mend)
        return findings
    with laboratory:
        examine_kind = examine_strategy if kind == "strategy" else examine_task
        examine_kind(findings, laboratory, name)
        if not any(finding.failed for finding in findings):
            _runs_to_a_report(findings, laboratory, suite, executor)
    return findings


def _narrowed(catalogue: Catalogue, suite: Mapping[str, Any], name: str, kind: str) -> dict[str, list[str]]:
    """The strategies and tasks of the tiny suite for checking `name`: itself and its first partner."""
    if kind == "strategy":
        card = catalogue.strategy(name).card
        verdicts = {task: catalogue.task(task).applies(card) for task in suite["tasks"]}
    else:
        task = catalogue.task(name)
        verdicts = {one: task.applies(catalogue.strategy(one).card) for one in suite["strategies"]}
    partners = [partner for partner, (applies, _) in verdicts.items() if applies]
    if not partners:
        reasons = "; ".join(dict.fromkeys(reason for _, reason in verdicts.values()))
        raise InputError(
            f"it applies to nothing in the tiny suite of its domain: {reasons}",
            mend="declare the parts that are there and needed (provides, trained_jointly, needs)",
        )
    pair = [[name], partners[:1]] if kind == "strategy" else [partners[:1], [name]]
    return dict(zip(("strategies", "tasks"), pair, strict=True))


def _runs_to_a_report(
    findings: Findings, laboratory: Laboratory, suite: Mapping[str, Any], executor: str
) -> None:
    """The whole way, as a user goes it: from a suite file to a report, in a worker of Ray."""
    file = laboratory.folder / "tiny.toml"
    file.write_text(to_toml(suite))
    run = laboratory.folder / "run"
    status, output = laboratory.command(
        *("-m", "harness", "run-all", "--suite", str(file), "--executor", executor, "--workers", "1"),
        *("--output", str(run), "--cache", str(laboratory.folder / "cache")),
        *(part for plugin in laboratory.plugins for part in ("--plugin", plugin)),
    )
    complaints = [line.strip() for line in output.splitlines() if "rror" in line]
    findings.judge(
        "runs on Ray, from a suite to a report" if executor == "tune" else "runs from a suite to a report",
        status == 0 and (run / "report.html").is_file(),
        seen=f"with {' and '.join(suite['strategies'] + suite['tasks'])}",
        otherwise=complaints[-1] if complaints else f"run-all ended with status {status}: {output[-300:]}",
        mend="run the same with `harness run-all --executor inline` and mend what it says",
    )
