"""What the command line asked for, and its copy in the run folder, from which other commands go on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.files import write_json
from harness.suite import Suite, parse_suite
from registry.contracts import InputError

FILE_NAME = "request.json"
SCHEMA = 1


@dataclass(frozen=True)
class Request:
    """What the command line asked for.

    Parameters
    ----------
    plugins
        Files (absolute) or modules, in order.
    output, cache
        Run folder, and where cohorts and artifacts are shared between runs.
    workers
        Processors to use on this machine.
    executor, address
        Where trials run: `tune` or `inline`; for `tune` on which Ray.
    storage
        URI of an object store through which nodes get and give everything; `None`: they share the folders.
    trackers
        Experiment trackers that are shown curves and scores.
    command
        The command as given, for the provenance.
    keep_models
        Whether the weights of final models stay in their trials' folders.
    """

    suite: Suite
    plugins: tuple[str, ...]
    output: Path
    cache: Path
    workers: int = 1
    executor: str = "tune"
    address: str = "local"
    storage: str | None = None
    trackers: tuple[str, ...] = ()
    command: str = ""
    keep_models: bool = False


def write_request(request: Request) -> None:
    """Leave a copy in the run folder."""
    write_json(
        request.output / FILE_NAME,
        {
            "schema": SCHEMA,
            "suite": request.suite.model_dump(by_alias=True, mode="json", exclude_none=True),
            "plugins": request.plugins,
            "cache": str(request.cache),
            "workers": request.workers,
            "executor": request.executor,
            "address": request.address,
            "storage": request.storage,
            "trackers": request.trackers,
            "command": request.command,
            "keep_models": request.keep_models,
        },
    )


def read_request(folder: Path) -> Request:
    """The request that was last given for a run folder.

    Raises
    ------
    InputError
        If there is none, or it cannot be read.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} is no run folder: it has no {FILE_NAME}", mend="give one, like runs/quick"
        )
    try:
        told = json.loads(path.read_bytes())
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema {told['schema']} is not {SCHEMA}")
        return Request(
            suite=parse_suite(told["suite"], source=str(path)),
            plugins=tuple(told["plugins"]),
            output=folder.resolve(),
            cache=Path(told["cache"]),
            workers=told["workers"],
            executor=told["executor"],
            address=told["address"],
            storage=told.get("storage"),
            trackers=tuple(told.get("trackers", ())),
            command=told["command"],
            keep_models=told.get("keep_models", False),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read: {error!r}", mend="give the run-all command once more: it writes it anew"
        ) from error
