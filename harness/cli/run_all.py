"""`harness run-all`: every cell of a suite, then the report."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.execution import run_request
from harness.cli.options import request_from, suite_options
from harness.price.price import this_machine


@click.command("run-all")
@suite_options
@click.option(
    "--executor",
    type=click.Choice(["tune", "inline"]),
    default="tune",
    show_default=True,
    help="Ray Tune, or one trial after another in this process.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processors to use on this machine.  [default: all]",
)
@click.option(
    "--address",
    default="local",
    show_default=True,
    metavar="auto|local|HOST:PORT",
    help="A Ray cluster to join instead of this machine.",
)
@click.option(
    "--keep-models",
    is_flag=True,
    help="Keep the weights of final models in their trials' folders, for `harness predict`.",
)
@click.option(
    "--track",
    "trackers",
    type=click.Choice(["tensorboard", "mlflow", "wandb"]),
    multiple=True,
    help="Show curves and scores in a tracker too; repeatable.  [default: none]",
)
@click.option("--report/--no-report", default=True, help="Write the HTML report at the end.")
def run_all(executor: str, workers: int | None, address: str, report: bool, **what: Any) -> int:
    r"""Run every cell of a suite and write the report.

    Given again, it goes on where it stopped: no finished trial is repeated. Exit status 0: every
    applicable cell has results; 1: some trials failed or are missing; 2: something in the request is wrong;
    130: interrupted.

    \b
    Examples:
      harness run-all --suite smoke
      harness run-all --suite quick --strategies imagenet,mine --output runs/two
      harness run-all --suite mine.toml --plugin my_strategy.py --executor inline
    """
    request = request_from(
        **what,
        workers=workers or int(this_machine().cpus),
        executor=executor,
        address=address,
    )
    return run_request(request, report=report)
