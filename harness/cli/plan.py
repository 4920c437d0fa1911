"""`harness plan`: what a suite would run, what it costs and what it can prove, without running it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cli.options import request_from, suite_options
from harness.evidence import TaskEvidence, counted
from harness.outlook import STATES, CellOutlook, Outlook, look_ahead
from harness.price.price import Price, parse_cluster
from harness.price.throughput import Estimate, read_throughput
from harness.progress import duration

#: From so many cells on they are plain lines: drawing a table of 10,000 takes longer than planning it.
MANY_CELLS = 500


@click.command("plan")
@suite_options
@click.option(
    "--cluster",
    metavar="cpus=N[,gpus=N]",
    help="Price the time on a cluster of this size.  [default: this machine]",
)
@click.option("--slots", type=click.IntRange(min=1), metavar="N", help="Price the time at N trials at once.")
@click.option(
    "--calibrate",
    is_flag=True,
    help="First run the beginning of one trial of each kind whose time is not known; nothing of it is kept.",
)
@click.option(
    "--throughput",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file that states what trials take elsewhere, and its source: an estimate, never a price.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: every cell and every trial.")
def plan(
    cluster: str | None,
    slots: int | None,
    calibrate: bool,
    throughput: Path | None,
    as_json: bool,
    **what: Any,
) -> None:
    r"""Show what a suite would run, what that costs and what it can prove.

    Every cell with its trials: done, cached, to run, blocked, or N/A with its reason. Final trials that
    depend on a selection are counted as to run, each protocol with its own, until the selection is known.
    The price comes from trials of the same kind on this machine; what was never timed is named as unknown.

    \b
    Examples:
      harness plan --suite quick
      harness plan --suite quick --calibrate
      harness plan --suite mine.toml --plugin my_strategy.py --cluster cpus=64,gpus=8 --json
      harness plan --suite paper --cluster cpus=32,gpus=8 --throughput our_gpu.toml
    """
    request = request_from(**what)
    place = parse_cluster(cluster) if cluster is not None else None
    if calibrate:
        from harness.calibration import calibrate as time_beginnings  # noqa: PLC0415 - runs trials

        time_beginnings(request, say=lambda text: click.echo(text, err=True))
    stated = read_throughput(throughput) if throughput is not None else None
    outlook = look_ahead(request, cluster=place, slots=slots, throughput=stated)
    if as_json:
        click.echo(json.dumps(outlook, default=vars, ensure_ascii=False))  # unindented: json's fast path
    else:
        _print(Console(), outlook)


def print_cells(console: Console, outlook: Outlook) -> None:
    """Print the cells and their trials by state."""
    if len(outlook.cells) < MANY_CELLS:
        console.print(_table(outlook))
    else:
        click.echo(_lines(outlook))
    for note in dict.fromkeys(line.note for line in outlook.cells if line.note):
        _say(console, note)
    words = ", ".join(f"{count} {state}" for state, count in outlook.counts.items())
    _say(console, f"{sum(outlook.counts.values())} trials: {words}")


def _table(outlook: Outlook) -> Table:
    """The cells as a table."""
    table = Table(title=f"suite {escape(outlook.suite)}", title_justify="left")
    for column in ("task", "strategy"):
        table.add_column(column, overflow="fold")
    for column in STATES:
        table.add_column(column, justify="right")
    for line in outlook.cells:
        table.add_row(escape(line.task), escape(line.strategy), *_counts(line))
    return table


def _lines(outlook: Outlook) -> str:
    """The cells as lines in columns."""
    rows = [["task", "strategy", *STATES]]
    rows += [[line.task, line.strategy, *_counts(line)] for line in outlook.cells]
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    form = "  ".join(f"{{:{'<' if number < 2 else '>'}{width}}}" for number, width in enumerate(widths))
    missing = [""] * len(widths)
    lines = (form.format(*row, *missing[len(row) :]).rstrip() for row in rows)
    return "\n".join([f"suite {outlook.suite}", *lines])


def _counts(line: CellOutlook) -> list[str]:
    return [str(line.counts[state] or "") for state in STATES] if line.applicable else ["N/A"]


def _print(console: Console, outlook: Outlook) -> None:
    print_cells(console, outlook)
    for words in [*_price_in_words(outlook.price), *_estimate_in_words(outlook.estimate)]:
        _say(console, words)
    for one in outlook.evidence:
        _say(console, _evidence_in_words(one))
    if (opened := outlook.test_openings).openings:
        _say(
            console,
            f"the test split of this cohort has been opened {counted(opened.openings, 'time')} by "
            f"{counted(opened.trials, 'trial')} in {counted(opened.runs, 'run')}",
        )
    for caveat in outlook.caveats:
        _say(console, f"caveat: {caveat}")
    for warning in outlook.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _price_in_words(price: Price) -> list[str]:
    if not price.trials:
        return []
    lines = []
    if price.priced:
        basis = [f"{price.measured} timed trials"] if price.measured else []
        basis += [f"{price.extrapolated} kinds extrapolated from a beginning"] if price.extrapolated else []
        lines.append(
            f"price of {price.priced} of {price.trials} trials: {_amount(price)}; from {' and '.join(basis)}"
        )
    if price.unknown:
        lines.append(
            f"price unknown for {price.trials - price.priced} trials, none of whose kind was timed here: "
            f"{_some(price.unknown)} (--calibrate runs their beginnings)"
        )
    return lines


def _estimate_in_words(estimate: Estimate | None) -> list[str]:
    if estimate is None or not estimate.price.trials:
        return []
    price = estimate.price
    lines = [
        f"estimate for {price.priced} of these trials, not measured here: {_amount(price)}; from stated "
        f"throughput, {estimate.source}"
    ]
    if price.unknown:
        lines.append(f"nothing stated for {price.trials - price.priced} trials: {_some(price.unknown)}")
    return lines


def _amount(price: Price) -> str:
    gpus = f", {price.gpu_hours:.2f} GPU hours" if price.gpu_hours else ""
    at_least = duration(3600 * price.wall_hours)
    return f"{price.cpu_hours:.2f} CPU hours{gpus}, {at_least} at least with {_slots(price)} trials at once"


def _some(kinds: Sequence[str]) -> str:
    return ", ".join(kinds[:6]) + (", ..." if len(kinds) > 6 else "")


def _slots(price: Price) -> str:
    """Trials at once, by stage where stages differ."""
    if len(set(price.slots.values())) == 1:
        return str(price.slots["final"])
    return ", ".join(f"{slots} {stage}" for stage, slots in price.slots.items())


def _evidence_in_words(one: TaskEvidence) -> str:
    replicates = counted(one.seeds, one.replicate)
    text = f"{one.task}: {counted(one.arms, 'arm')}, {replicates}; least exact p {one.smallest_p:.3g}"
    if one.comparisons:
        text += f" ({one.smallest_p_corrected:.3g} corrected)"
    if one.minimum_detectable is not None:
        text += (
            f"; detectable with 80 % power, by seeds alone: {one.minimum_detectable:.3g} in {one.metric} "
            f"(spread of {one.recorded_pairs} recorded pairs)"
        )
    return text


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
