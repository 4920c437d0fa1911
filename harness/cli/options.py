"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.files import CACHE_VARIABLE, default_cache
from harness.request import Request
from harness.resources import parse_resources
from harness.suite import Suite, load_suite, read_toml
from registry.contracts import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

#: Tells domains, in every process, where files of pretrained weights are.
WEIGHTS_VARIABLE = "HARNESS_WEIGHTS_DIR"


def _use_weights(context: click.Context, parameter: click.Parameter, folder: Path | None) -> None:
    """Hand the folder to this process and to all that it starts."""
    if folder is None:
        return
    if not folder.exists():
        raise InputError(
            f"--weights-dir {folder} does not exist",
            mend=f"harness weights fetch NAME --weights-dir {folder}",
        )
    os.environ[WEIGHTS_VARIABLE] = str(folder.resolve())


def absolute_plugins(plugins: tuple[str, ...]) -> tuple[str, ...]:
    """Plug-ins as every process can find them: files by their absolute path, modules by name."""
    return tuple(str(Path(name).resolve()) if name.endswith(".py") else name for name in plugins)


def suite_options(command: Command) -> Command:
    """The options that say what to run; `request_from` understands them."""
    options = [
        click.option(
            "--suite",
            default="quick",
            show_default=True,
            metavar="NAME|FILE",
            help="A suite's name or TOML file.",
        ),
        click.option("--strategies", metavar="A,B", help="Run these strategies instead of the suite's."),
        click.option("--tasks", metavar="A,B", help="Run these tasks instead of the suite's."),
        click.option(
            "--cohort", metavar="FILE", help="A TOML file whose table replaces the suite's [cohort]."
        ),
        click.option(
            "--plugin",
            "plugins",
            multiple=True,
            metavar="FILE|MODULE",
            help="Register what it declares; repeatable.",
        ),
        click.option(
            "--output",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="The run folder.  [default: runs/<suite>]",
        ),
        click.option(
            "--cache",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help=f"Cohorts and weights shared by runs.  [default: ${CACHE_VARIABLE}, else the user's cache]",
        ),
        click.option(
            "--storage",
            metavar="URI",
            help="An object store for nodes that share no folder with this machine: s3://bucket/prefix.",
        ),
        click.option(
            "--weights-dir",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            expose_value=False,
            callback=_use_weights,
            help="Pretrained weights on this machine, made by `harness weights fetch`.  "
            f"[default: ${WEIGHTS_VARIABLE}, else `weights` in the user's cache]",
        ),
        click.option(
            "--resources",
            metavar="KEY=VALUE,...",
            help="Per trial, over what the suite and its strategies and tasks say: gpus=0.5,memory=8GiB,"
            "pretrain.gpus=1,time_limit_seconds=600.",
        ),
        click.option(
            "--gpus",
            type=click.FloatRange(min=0),
            metavar="SHARE",
            help="Short for --resources gpus=SHARE; a fraction lets trials share one.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def request_from(
    *,
    suite: str,
    strategies: str | None,
    tasks: str | None,
    cohort: str | None,
    plugins: tuple[str, ...],
    output: Path | None,
    cache: Path | None,
    storage: str | None,
    resources: str | None,
    gpus: float | None,
    workers: int = 1,
    executor: str = "tune",
    address: str = "local",
    keep_models: bool = False,
    trackers: tuple[str, ...] = (),
) -> Request:
    """Turn the values of `suite_options` into a request.

    Raises
    ------
    InputError
        If a file is missing or wrong.
    """
    needs = parse_resources(resources or "") | ({} if gpus is None else {"gpus": gpus})
    chosen = _suite(suite, strategies, tasks, cohort, needs)
    return Request(
        suite=chosen,
        plugins=absolute_plugins(plugins),
        output=output or Path("runs") / chosen.name,
        cache=(cache or default_cache()).expanduser().resolve(),
        workers=workers,
        executor=executor,
        address=address,
        trackers=trackers,
        storage=storage,
        command=command_line(),
        keep_models=keep_models,
    )


def _suite(
    name: str, strategies: str | None, tasks: str | None, cohort: str | None, resources: dict[str, Any]
) -> Suite:
    suite = load_suite(name)
    table = None
    if cohort is not None:
        table = read_toml(Path(cohort), kind="cohort")
        if set(table) == {"cohort"}:
            table = table["cohort"]
    return suite.narrowed(
        strategies=_names(strategies), tasks=_names(tasks), cohort=table, resources=resources
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def command_line() -> str:
    """The command as given, for records of where numbers come from."""
    return shlex.join(["harness", *sys.argv[1:]])
