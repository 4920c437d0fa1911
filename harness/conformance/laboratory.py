"""Where a strategy or task is tried: a tiny cohort, folders of its own, and processes with a time limit."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import harness
from harness.plan import Plan
from harness.request import Request
from harness.resources import TrialResources
from harness.run import Prepared, prepare
from harness.specs import TrialSpec
from harness.suite import parse_suite
from harness.trial import make_payload
from registry.catalog import Catalogue
from registry.contracts import CohortProgress, InputError, SplitSize
from registry.contracts.domain import is_test_file

#: Two seeds, so that what a seed changes can be seen.
SEEDS = (0, 1)


@dataclass(frozen=True)
class Observation:
    """What one process did.

    Parameters
    ----------
    outcomes
        Of its trials, in order; as `harness.trial.execute` returns them.
    seen
        What the watch saw: `test_files`, `closed_splits`, `written`.
    trouble
        Why there are no outcomes: the time limit, or how the process ended.
    killed
        Whether it ended by the kill that was asked for.
    """

    outcomes: tuple[Mapping[str, Any], ...] = ()
    seen: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    trouble: str = ""
    killed: bool = False

    @property
    def failure(self) -> str:
        """Why a trial of it did not end well; empty where all did."""
        if self.trouble:
            return self.trouble
        failed = [outcome for outcome in self.outcomes if outcome["status"] != "done"]
        return f"{failed[0]['error']}{_place(failed[0].get('traceback') or '')}" if failed else ""


class Laboratory:
    """A temporary place for the trials of one suite; leaves nothing behind.

    Parameters
    ----------
    catalogue, plugins
        What can be named, and where it came from: workers load it again.
    suite
        The table of a tiny suite.
    cohorts
        A cache in which the tiny cohort is kept from one check to the next.
    time_limit_seconds
        Of each process.

    Raises
    ------
    InputError
        If the suite cannot be planned.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        suite: Mapping[str, Any],
        *,
        plugins: tuple[str, ...],
        cohorts: Path,
        time_limit_seconds: float,
        progress: CohortProgress,
    ) -> None:
        self.catalogue = catalogue
        self.plugins = plugins
        self.time_limit_seconds = time_limit_seconds
        self.folder = Path(tempfile.mkdtemp(prefix="harness-check-")).resolve()
        try:
            request = Request(
                parse_suite(suite, source="the tiny suite"), plugins, self.folder / "run", cohorts.resolve()
            )
            self.prepared: Prepared = prepare(request)
            self.plan: Plan = self.prepared.plan()
            domain = self.prepared.domain
            self.sizes: dict[str, dict[str, SplitSize]] = domain.prepare(
                request.suite.cohort, request.cache, workers=1, progress=progress
            )
            made = domain.cohort(request.suite.cohort, request.cache).folder
            self.cohort = domain.cohort(request.suite.cohort, self.folder / "cache").folder
            shutil.copytree(made, self.cohort)
            self.closed_cohort = self.folder / "closed" / made.name
            self.hidden = _copy_without_tests(made, self.closed_cohort)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Laboratory:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take everything away."""
        self.close()

    def close(self) -> None:
        """Remove the temporary place."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def cache(self, place: str) -> Path:
        """The artifacts of the trials that ran in `place`."""
        return self.folder / place / "cache"

    def scratch(self, place: str, spec: TrialSpec) -> Path:
        """The scratch folder of a trial that ran in `place`."""
        return self.folder / place / "run" / "scratch" / spec.key

    def results(self, place: str, spec: TrialSpec) -> Path:
        """The folder of a finished trial that ran in `place`."""
        return self.folder / place / "run" / "trials" / spec.key

    def observe(
        self,
        place: str,
        specs: Sequence[TrialSpec],
        *,
        artifact: str | None = None,
        test_is_closed: bool = True,
        interrupt: bool = False,
        keep_models: bool = False,
        restore_from: str | None = None,
    ) -> Observation:
        """Execute trials one after another in a process of their own.

        Parameters
        ----------
        place
            Which run folder and cache, inside the laboratory; what ran in another place is not known there.
        artifact
            The weights that the trials start from.
        test_is_closed
            Give a cohort without its test files, and watch; final trials need the whole one.
        interrupt
            Kill the process half-way through its first trial that reports progress.
        keep_models
            Whether final trials keep their models.
        restore_from
            The place from which final trials take models that were kept there, instead of fitting.
        """
        request = {
            "payloads": [
                {
                    **self._payload(place, spec, artifact, test_is_closed),
                    "keep_model": keep_models,
                    "restore_from": restore_from and str(self.results(restore_from, spec)),
                }
                for spec in specs
            ],
            "closed_cohort": str(self.closed_cohort) if test_is_closed else None,
            "writable": [str(self.folder), str(_user_cache())],
            "interrupt": interrupt,
        }
        (self.folder / place).mkdir(exist_ok=True)
        files = [self.folder / place / name for name in ("request.json", "answer.json")]
        files[0].write_text(json.dumps(request))
        files[1].unlink(missing_ok=True)
        status, output = self.command("-m", "harness.conformance.worker", *map(str, files))
        if status is None:
            return Observation(trouble=output)
        if interrupt and status == -signal.SIGKILL:
            return Observation(killed=True)
        if status or not files[1].is_file():
            return Observation(trouble=f"the process ended with status {status}: {_last_line(output)}")
        answer = json.loads(files[1].read_text())
        return Observation(tuple(answer["outcomes"]), answer["seen"])

    def command(self, *arguments: str) -> tuple[int | None, str]:
        """Run Python with `arguments` within the time limit; status (`None`: too slow) and output."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        source = str(Path(harness.__file__).parents[1])
        path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        # a file, not a pipe: a process that is left running would keep a pipe open
        with (self.folder / "output.txt").open("w+") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, *arguments],
                env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(self.folder / "tmp")},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(timeout=self.time_limit_seconds)
            except subprocess.TimeoutExpired:
                return None, f"took longer than {self.time_limit_seconds:g} s on tiny data"
            finally:
                _end_session(process)
            output.seek(0)
            return process.returncode, output.read()

    def _payload(
        self, place: str, spec: TrialSpec, artifact: str | None, test_is_closed: bool
    ) -> dict[str, Any]:
        return make_payload(
            spec,
            arm=spec.strategy or "",
            run=self.folder / place / "run",
            cache=self.cache(place),
            cohort_folder=self.closed_cohort if test_is_closed else self.cohort,
            test_folder=None if test_is_closed else self.cohort,
            plugins=self.plugins,
            artifact=artifact,
            draw=None,
            protocols=[],
            resources=TrialResources(),
            threads=1,
            execution=self.plan.execution,
        )


def tiny_suite(catalogue: Catalogue, domain: str) -> dict[str, Any]:
    """The tiny suite of `domain`, with one draw and two seeds.

    Raises
    ------
    InputError
        If the domain offers none.
    """
    offered = dict(catalogue.domain(domain).tiny_suite())
    if not offered:
        raise InputError(
            f"domain {domain!r} offers no tiny data to check on",
            mend="give its class a method tiny_suite() that returns a suite's tables",
        )
    seeds = {"pretraining": list(SEEDS), "final": list(SEEDS)}
    return {"schema": 1, "name": "tiny", "domain": domain, **offered, "seeds": seeds, "budget": {"draws": 1}}


def _copy_without_tests(source: Path, destination: Path) -> int:
    """Copy a cohort without its test files; how many were left out."""
    hidden = [path for path in source.rglob("*") if path.is_file() and is_test_file(path.relative_to(source))]
    shutil.copytree(
        source,
        destination,
        ignore=lambda folder, names: [name for name in names if Path(folder) / name in hidden],
    )
    return len(hidden)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _place(trace: str) -> str:
    """Where a traceback ends, as ` (file, line, function)`."""
    lines = [line.strip() for line in trace.splitlines() if line.lstrip().startswith('File "')]
    return f" ({lines[-1]})" if lines else ""


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
