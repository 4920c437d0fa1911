"""What every arm was given to search its settings with, what it spent, and whether that was the same."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from reports.errors import RecordsError
from reports.frame import Run

#: Full trials are sums of shares of a trial: differences below this are rounding.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Spending:
    """One search of an arm: a row of `search.parquet`.

    Parameters
    ----------
    weights
        The setting of the weights that it tuned on, `None` for the declared one.
    budget_draws, budget_seconds
        What was allowed; `None`: no limit of time.
    full_trials
        Trials spent, where one that was stopped early counts with the share that it ran.
    boundary
        Hyperparameters of its own best that lie at an end of their range.
    """

    arm: str
    title: str
    protocols: tuple[str, ...]
    weights: Mapping[str, Any] | None
    method: str
    budget_draws: int
    budget_seconds: float | None
    draws: int
    done: int
    failed: int
    pruned: int
    blocked: int
    seconds: float
    full_trials: float
    boundary: tuple[str, ...]


@dataclass(frozen=True)
class Budget:
    """The searches of all arms on one task, or of their pretraining.

    Parameters
    ----------
    task
        `None` for pretraining.
    label_fraction, label_draw, split
        Where they searched.
    metric
        What decided; of pretraining its probe.
    equal
        Whether all arms were allowed the same and spent it, to within less than one full trial, under every
        protocol; `None` where a single arm searched.
    verdict
        The same in words, and by how much.
    unsearched
        Arms that could run here and did not search: they have nothing to search, or their base's setting.
    """

    task: str | None
    title: str
    metric: str
    label_fraction: float | None
    label_draw: int | None
    split: int
    equal: bool | None
    verdict: str
    unsearched: tuple[str, ...]
    spendings: tuple[Spending, ...]

    @property
    def main(self) -> bool:
        """Whether it is on all labels and the cohort's own split, as the main tables are."""
        return self.label_fraction is None and self.split == 0


def budgets(run: Run) -> list[Budget]:
    """Every budget that the run recorded, that of pretraining first, then in the order of the tasks.

    Raises
    ------
    RecordsError
        If `search.parquet` names a task or an arm that the run has not.
    """
    place = {None: -1} | {name: index for index, name in enumerate(run.tasks)}
    arms = {name: index for index, name in enumerate(run.arms)}
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in run.search.to_dicts():
        if row["task"] not in place or row["strategy"] not in arms:
            raise RecordsError(
                f"search.parquet names task {row['task']!r}, arm {row['strategy']!r}: not both in run.json",
                mend="run the suite again to complete it",
            )
        where = (row["task"], row["label_fraction"], row["label_draw"], row["split"] or 0)
        found.setdefault(where, []).append(row)
    ordered = sorted(found, key=lambda one: (place[one[0]], one[3], one[1] or 2.0, one[2] or 0))
    made = []
    for where in ordered:
        task = where[0]
        rows = sorted(found[where], key=lambda row: (arms[row["strategy"]], row["protocols"] or []))
        spendings = tuple(_spending(run, row) for row in rows)
        equal, verdict = judged(spendings)
        searched = {one.arm for one in spendings}
        title = run.tasks[task]["title"] if task else "Pretraining"
        metric = run.tasks[task]["primary"]["label"] if task else probe_name(run)
        able = [name for name in run.arms if name not in searched and _applies(run, name, task)]
        titles = tuple(run.arms[name]["title"] for name in able)
        made.append(Budget(task, title, metric, *where[1:], equal, verdict, titles, spendings))
    return made


def probe_name(run: Run) -> str:
    """What searched pretraining was judged by: the score that its trials recorded under a name."""
    searched = searched_pretraining(run).filter(pl.col("validation_score").is_finite())
    for row in searched.iter_rows(named=True):
        scores = json.loads(row["validation"] or "{}")
        named = [name for name, value in scores.items() if value == row["validation_score"]]
        if len(named) == 1:
            return str(named[0])
    return str((run.meta["suite"].get("search") or {}).get("pretraining_metric") or "probe")


def searched_pretraining(run: Run) -> pl.DataFrame:
    """Pretraining trials in which settings were tried, by draw.

    Those on the seed that tuning starts from, and of runs that were joined those that a probe judged.
    """
    seeds = run.meta["suite"]["seeds"]
    seed = seeds.get("tuning_pretraining")
    seed = seeds["pretraining"][0] if seed is None and seeds["pretraining"] else seed
    return run.trials.filter(
        (pl.col("stage") == "pretrain")
        & pl.col("draw").is_not_null()
        & ((pl.col("pretraining_seed") == seed) | pl.col("validation_score").is_finite().fill_null(False))
        & (pl.col("split").fill_null(0) == 0)
    ).sort("draw")


def judged(spendings: Sequence[Spending]) -> tuple[bool | None, str]:
    """Whether the arms had the same budget, and in words by how much not.

    Arms are compared under each protocol with all searches that serve it: where the two protocols tune on
    different weights, an arm searches once for each.
    """
    if len({one.arm for one in spendings}) < 2:
        return None, "A single arm searched: there is no other budget to compare with."
    allowed = {(one.method, one.budget_draws, one.budget_seconds) for one in spendings}
    if len(allowed) > 1:
        words = "; ".join(dict.fromkeys(f"{one.title} {_allowance(one)}" for one in spendings))
        return False, f"Not equal: the arms were allowed different budgets ({words})."
    given = _allowance(spendings[0])
    gaps = [
        (max(spent.values()) - min(spent.values()), protocol, spent)
        for protocol in dict.fromkeys(name for one in spendings for name in one.protocols)
        if (spent := _spent(spendings, protocol))
    ]
    gap, protocol, spent = max(gaps, key=lambda one: one[0])
    fewest, most = min(spent, key=spent.__getitem__), max(spent, key=spent.__getitem__)
    titles = {one.arm: one.title for one in spendings}
    ends = f"{titles[fewest]} spent {spent[fewest]:.3g} and {titles[most]} {spent[most]:.3g} full trials"
    ends += f" ({protocol})"
    if gap >= 1 - ROUNDING:
        more = f", {100 * gap / spent[fewest]:.0f} % more" if spent[fewest] else ""
        unequal = "Not equal" if spendings[0].budget_seconds is None else "Equal in time, not equal in trials"
        return False, f"{unequal}: each was allowed {given}, but {ends}{more}.{_unscored(spendings)}"
    if gap > ROUNDING:
        return True, f"Equal to within {gap:.2g} of a full trial: {given}; {ends}.{_unscored(spendings)}"
    spending = f"all of them spent {spent[most]:.3g} full trials under each protocol"
    return True, f"Equal: {given} for every arm, and {spending}.{_unscored(spendings)}"


def _spent(spendings: Sequence[Spending], protocol: str) -> dict[str, float]:
    spent: dict[str, float] = {}
    for one in spendings:
        if protocol in one.protocols:
            spent[one.arm] = spent.get(one.arm, 0.0) + one.full_trials
    return spent


def _allowance(one: Spending) -> str:
    time = "" if one.budget_seconds is None else f" within {one.budget_seconds:g} s"
    return f"{one.budget_draws} {'draw' if one.budget_draws == 1 else 'draws'} ({one.method}){time}"


def _unscored(spendings: Sequence[Spending]) -> str:
    """Draws that an arm tried and that could not win, because they failed or never ran."""
    lost = [
        f"{one.title} {one.failed + one.blocked} of {one.draws}"
        for one in spendings
        if one.failed + one.blocked
    ]
    return f" Draws that failed or could not run, so that fewer could win: {', '.join(lost)}." if lost else ""


def _spending(run: Run, row: Mapping[str, Any]) -> Spending:
    return Spending(
        row["strategy"],
        run.arms[row["strategy"]]["title"],
        tuple(row["protocols"] or ()),
        json.loads(row["weights"]) if row["weights"] else None,
        row["method"],
        row["budget_draws"],
        row["budget_seconds"],
        draws=row["draws"],
        done=row["done"],
        failed=row["failed"],
        pruned=row["pruned"],
        blocked=row["blocked"],
        seconds=row["seconds"],
        full_trials=row["full_trials"],
        boundary=tuple(row["boundary"] or ()),
    )


def _applies(run: Run, arm: str, task: str | None) -> bool:
    cells = [cell for cell in run.meta["cells"] if cell["strategy"] == arm]
    return any(cell["applicable"] for cell in cells if task in (None, cell["task"]))


FIELDS = (
    "simulated",
    *("task", "label_fraction", "label_draw", "split", "metric", "entry", "protocols", "weights", "method"),
    *("budget_draws", "budget_seconds", "draws", "done", "failed", "pruned", "blocked"),
    *("seconds", "full_trials", "boundary", "equal", "verdict"),
)


def budgets_csv(run: Run, found: Sequence[Budget]) -> str:
    """Every search, one per line; `task` is empty for pretraining."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for budget in found:
        for one in budget.spendings:
            line = vars(budget) | vars(one)
            line |= {"simulated": str(run.simulated).lower(), "entry": one.arm}
            line |= {"protocols": "+".join(one.protocols), "boundary": "; ".join(one.boundary)}
            line["equal"] = "" if budget.equal is None else str(budget.equal).lower()
            line["weights"] = json.dumps(one.weights) if one.weights is not None else ""
            writer.writerow(line)
    return stream.getvalue()
