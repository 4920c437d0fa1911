"""The command line: one module per command, imported when it is used.

Only click is imported at start-up, so that `harness --help` answers at once.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.commands import DOMAIN_COMMANDS

if TYPE_CHECKING:
    from registry.contracts.context import OpenSplit

INCOMPLETE, WRONG_INPUT, INTERRUPTED = 1, 2, 130

#: Command to its module, its function and the line that the overview shows.
COMMANDS = {
    "run-all": ("harness.cli.run_all", "run_all", "Run every cell of a suite and write the report."),
    "status": ("harness.cli.status", "status", "Show how far a run is, also while it goes on."),
    "logs": ("harness.cli.logs", "logs", "Show what a trial printed, and why it failed."),
    "retry": ("harness.cli.retry", "retry", "Run what failed in a run once more."),
    "list": ("harness.cli.listing", "listing", "Show strategies, tasks and suites, with their origin."),
    "plan": ("harness.cli.plan", "plan", "Show what a suite would run, without running it."),
    "new": ("harness.cli.new", "new", "Write a small strategy or task that works, and its test."),
    "check": ("harness.cli.check", "check", "Check that a strategy or task keeps its contract."),
    "suite": ("harness.cli.suite", "suite", "Show a suite, check its file, or print the file's format."),
    "report": ("harness.cli.report", "report", "Write the report of a run folder anew."),
    "diff": ("harness.cli.diff", "diff", "Compare two runs; the exit status says if one regressed."),
    "compare": ("harness.cli.compare", "compare", "Join runs over the same cohort into one report."),
    "doctor": ("harness.cli.doctor", "doctor", "Check that this machine has what is needed."),
    **DOMAIN_COMMANDS,
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), function)
        for one in (command, *getattr(command, "commands", {}).values()):
            one.help = _verbatim(one.help)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from registry.catalog import unknown_name  # noqa: PLC0415 - only where something is wrong

            raise unknown_name("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


def _verbatim(text: str | None) -> str | None:
    r"""Help in which click's marker of a paragraph that keeps its lines is spelled `\b`, as docstrings do."""
    return text.replace("\\b", "\b") if text else text


def _open_run(folder: Path, purpose: str) -> OpenSplit:
    """The data of a finished run, for commands of domains: they know no engine."""
    from harness.reopening import open_run  # noqa: PLC0415 - only where a command asks for it

    return open_run(folder, purpose)


def _for_people(error: Exception) -> Exception:
    """The error that a person can act on; anything else is a bug and keeps its traceback."""
    from harness.files import storage_error, storage_failure_in  # noqa: PLC0415 - imports numpy
    from registry.contracts import InputError  # noqa: PLC0415
    from reports import RecordsError  # noqa: PLC0415

    if isinstance(error, InputError | RecordsError):
        return error
    full_disk = storage_failure_in(error)  # wherever it happened: in a domain, in a report
    if full_disk is not None:
        return storage_error(full_disk)
    raise error


def _print_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"harness {_version()}")
        context.exit()


def _version() -> str:
    try:
        return importlib.metadata.version("pretraining-harness")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli(context: click.Context) -> None:
    """Compare pretraining strategies over downstream tasks: fair tuning, paired statistics, one report."""
    context.obj = _open_run


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the exit status is the one that `docs/command-line.md` promises."""
    try:
        status = cli.main(arguments, prog_name="harness", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        click.echo(f"error: {_for_people(error)}", err=True)
        sys.exit(WRONG_INPUT)
    sys.exit(status if isinstance(status, int) else 0)
