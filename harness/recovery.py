"""What earlier executions left: finished trials, weights in the cache, and damage, which is redone.

A trial counts as done only where every byte of its folder has the checksum that was written with it, a
pretraining only where its weights are there and have theirs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.artifacts import ArtifactStore
from harness.decisions import recorded_proposals
from harness.files import PARTIAL, copy_folder
from harness.journal import History
from harness.outcome import Outcome
from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.remote import RemoteRun
from harness.results import RunFolder, outcome_of, read_result, result_text
from registry.contracts import DataError

#: Age at which a half-written folder has no writer any more.
STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Damage:
    """A folder that is not what was written.

    Parameters
    ----------
    folder
        The folder.
    problem
        What is wrong with it, in one line.
    """

    folder: Path
    problem: str

    def set_aside(self) -> Path:
        """Move the folder out of the way, so that it is made anew; returns where it went."""
        place = self.folder.parent.with_name("damaged")
        place.mkdir(exist_ok=True)
        number = sum(1 for _ in place.glob(f"{self.folder.name}*"))
        aside = place / (self.folder.name + (f"-{number}" if number else ""))
        self.folder.rename(aside)
        return aside


@dataclass
class Known:
    """Trials that need not run.

    Parameters
    ----------
    done
        Key to outcome.
    cached
        The keys among them that come from the cache.
    damage
        What looked done and is not.
    """

    done: dict[str, Outcome] = field(default_factory=dict)
    cached: set[str] = field(default_factory=set)
    damage: list[Damage] = field(default_factory=list)


def known_outcomes(
    plan: Plan,
    run: RunFolder,
    cache: Path,
    history: History,
    *,
    adopt: bool,
    remote: RemoteRun | None = None,
) -> Known:
    """Find the trials that need not run.

    Parameters
    ----------
    adopt
        Whether to check every byte, set damaged folders aside and copy cached pretrainings into the run
        folder; a plan only looks, and believes trial folders.
    remote
        Where weights lie, if not in the cache.
    """
    known = Known()
    harmed = _check_trials(run, known) if adopt else set()
    for damage in known.damage:
        damage.set_aside()  # at once: what the cache has may take its place
    aside = len(known.damage)
    known.done = run.finished_outcomes(history, without=harmed)
    store = ArtifactStore(cache)
    for trial in plan.pretraining.values():
        _look_for_pretraining(trial.key, run, cache, known, adopt=adopt)
        if remote is None:
            _check_weights(trial.key, store, known)
        else:
            _look_for_weights(trial.key, remote, known)
    if adopt:
        for damage in known.damage[aside:]:
            damage.set_aside()
        for folder in (run.root / "trials", cache / "artifacts", cache / "pretraining"):
            sweep(folder)
    return known


def policy_as_it_stands(plan: Plan, run: RunFolder, cache: Path, history: History) -> tuple[Policy, Known]:
    """How far a run has come by what its folder and the cache hold; takes nothing over and writes nothing."""
    known = known_outcomes(plan, run, cache, history, adopt=False)
    policy = Policy(
        plan,
        known.done,
        adopt=lambda trial: known_pretraining(trial, run, cache, known, adopt=False),
        recorded=recorded_proposals(history),
    )
    return policy, known


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left half-written; a day is more than any write takes."""
    for path in folder.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path)


def known_pretraining(
    trial: Trial,
    run: RunFolder,
    cache: Path,
    known: Known,
    *,
    adopt: bool,
    remote: RemoteRun | None = None,
) -> Outcome | None:
    """What became of a pretraining that was not certain to be needed when `known_outcomes` looked.

    Parameters
    ----------
    known
        Is added to; with `adopt`, damage is set aside and what cannot be used any more is removed.
    remote
        Where weights lie, if not in the cache.
    """
    seen = len(known.damage)
    _look_for_pretraining(trial.key, run, cache, known, adopt=adopt)
    if remote is None:
        _check_weights(trial.key, ArtifactStore(cache), known)
    else:
        _look_for_weights(trial.key, remote, known)
    if adopt:
        for damage in known.damage[seen:]:
            damage.set_aside()
        if trial.key not in known.done:
            _discard(trial.key, run, cache)
    return known.done.get(trial.key)


def discard_stale_pretraining(plan: Plan, run: RunFolder, cache: Path, done: Mapping[str, Outcome]) -> None:
    """A pretraining whose weights are gone runs again; its old folders must not stand in the way."""
    for trial in plan.pretraining.values():
        if trial.key not in done:
            _discard(trial.key, run, cache)


def _discard(key: str, run: RunFolder, cache: Path) -> None:
    shutil.rmtree(run.trial(key), ignore_errors=True)
    shutil.rmtree(cache / "pretraining" / key, ignore_errors=True)


def problem_in(folder: Path) -> str | None:
    """What is wrong with a trial folder; `None` if every byte is as it was written."""
    try:
        content = (folder / "result.json").read_bytes()
        result = json.loads(content)
        if "sha256" in result and result_text(result) != content:  # older results have none
            return "result.json has not the SHA-256 that is recorded in it"
        if result["key"] != folder.name:
            return f"result.json is the result of trial {result['key']}"
        for name, expected in result.get("files", {}).items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
                return f"{name} has not the SHA-256 that its result.json recorded"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"result.json cannot be read: {error}"
    return None


def _check_trials(run: RunFolder, known: Known) -> set[str]:
    """Check every trial folder; returns the keys of those that are not what was written."""
    harmed = set()
    for key in sorted(run.finished_keys()):
        problem = problem_in(run.trial(key))
        if problem is not None:
            known.damage.append(Damage(run.trial(key), problem))
            harmed.add(key)
    return harmed


def _look_for_pretraining(key: str, run: RunFolder, cache: Path, known: Known, *, adopt: bool) -> None:
    """Take a pretraining from the cache that this run has not done itself."""
    source = cache / "pretraining" / key
    if key in known.done or not source.is_dir():
        return
    problem = problem_in(source)
    if problem is not None:
        known.damage.append(Damage(source, problem))
    elif not adopt:
        known.done[key] = outcome_of(read_result(source))
        known.cached.add(key)
    elif (source / "result.json").is_file():
        _adopt(source, run.trial(key))
        known.done[key] = run.outcome(key)
        known.cached.add(key)


def _adopt(cached: Path, destination: Path) -> None:
    """Take the result of a pretraining that an earlier run left in the cache."""
    result = json.loads((cached / "result.json").read_bytes()) | {"cached": True}
    copy_folder(cached, destination, result=result_text(result))


def _look_for_weights(key: str, remote: RemoteRun, known: Known) -> None:
    """Weights in an object store are looked for; whoever reads them checks them."""
    artifact = known.done[key].artifact if key in known.done else None
    if artifact is None or not remote.has_weights(artifact):
        known.done.pop(key, None)
        known.cached.discard(key)


def _check_weights(key: str, store: ArtifactStore, known: Known) -> None:
    """A pretraining without its weights, or with others, is not done."""
    artifact = known.done[key].artifact if key in known.done else None
    if artifact is not None and store.has(artifact):
        try:
            store.verify(artifact)
            return
        except DataError as error:
            harm = Damage(store.folder / artifact, error.message)
            known.damage += [harm] if harm not in known.damage else []  # strategies may share weights
    known.done.pop(key, None)
    known.cached.discard(key)
