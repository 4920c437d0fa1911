"""From a request to a finished run folder."""

from __future__ import annotations

from harness import records
from harness.evidence import evidence_of, warnings_of
from harness.executors import Executor
from harness.files import storage_guard, utc_now
from harness.journal import Journal, check_free
from harness.labels import check_enough
from harness.overlap import split_overlap
from harness.plan import Plan
from harness.progress import Display
from harness.remote import RemoteRun
from harness.request import Request, write_request
from harness.results import RunFolder
from harness.run.driver import Driver, Finished
from harness.run.journaling import RunJournal
from harness.run.preparation import check_data, prepare, prepare_cohorts
from harness.storage import ObjectStore
from registry.contracts import InputError


def run_suite(
    request: Request, executor: Executor, display: Display, *, only_failed: bool = False
) -> Finished:
    """Run what is left to run of a suite.

    Parameters
    ----------
    only_failed
        Run what failed the last time and what that kept from running, and nothing else.

    Raises
    ------
    InputError
        If anything in the request is wrong, before anything is written; if the disk fills up, after what
        was finished has been kept.
    KeyboardInterrupt
        After the run folder has been left in order.
    """
    prepared = prepare(request)
    plan = prepared.plan()
    run = RunFolder(request.output.resolve())
    if run.root.exists() and not run.root.is_dir():
        raise InputError(f"output {run.root} is a file", mend="give a folder with --output")
    check_free(run.root)
    for warning in warnings_of(evidence_of(plan)):
        display.note(warning)
    with storage_guard(request.cache):
        sizes = prepare_cohorts(prepared, display)
    check_enough(plan, sizes)
    check_data(prepared, plan.tasks.values())
    facts = records.RunFacts(
        prepared.domain,
        prepared.cohort,
        sizes,
        split_overlap(prepared.domain, prepared.cohort.folder, sizes),
        command=request.command,
        started=utc_now(),
        device=_device(plan),
        cache=request.cache,
    )
    remote = _remote_run(request, run)
    with Journal(run.journal) as journal:
        write_request(request)
        told = RunJournal(journal)
        return Driver(prepared, plan, run, facts, told, executor, display, remote, only_failed).drive()


def _remote_run(request: Request, run: RunFolder) -> RemoteRun | None:
    """The object store that nodes go through, once it has been tried."""
    if request.storage is None:
        return None
    remote = RemoteRun(ObjectStore(request.storage), run.root.name)
    if request.suite.search.early_stopping is not None:
        raise InputError(
            "early stopping needs a run folder that all workers share, not an object store",
            mend="take [search.early_stopping] out, or --storage",
        )
    remote.store.check()
    return remote


def _device(plan: Plan) -> str:
    return "cuda" if any(shape.gpus for shapes in plan.shapes.values() for shape in shapes) else "cpu"
