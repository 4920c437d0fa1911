"""What a design can prove before compute is spent: the least p of its seeds, the differences it can see."""

from __future__ import annotations

import importlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.plan import Plan
from harness.results import RunFolder
from harness.summary import endpoint_value
from registry.contracts import PrimaryEndpoint

if TYPE_CHECKING:
    import polars

ALPHA = 0.05
POWER = 0.80


def smallest_p(seeds: int) -> float:
    """Least two-sided p of an exact sign-flip test over `seeds` paired differences: all of one sign.

    Examples
    --------
    >>> [smallest_p(seeds) for seeds in (1, 2, 5, 6)]
    [1.0, 0.5, 0.0625, 0.03125]
    """
    return float(min(1.0, 2.0 / 2**seeds))


def seeds_needed(comparisons: int, alpha: float = ALPHA) -> int:
    """Seeds with which the first of `comparisons` tests can survive Holm's correction.

    Examples
    --------
    >>> [seeds_needed(comparisons) for comparisons in (1, 3, 6, 10)]
    [6, 7, 8, 9]
    """
    return 1 + math.ceil(math.log2(comparisons / alpha) - 1e-12)


def minimum_detectable(spread: float, seeds: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Smallest true difference that a paired t test over `seeds` finds with `power`.

    Parameters
    ----------
    spread
        Standard deviation of the differences between seeds.

    Returns
    -------
    float or None
        The noncentrality is solved for, not approximated; `None` with fewer than two seeds.
    """
    if seeds < 2:
        return None
    special: Any = importlib.import_module("scipy.special")
    freedom = seeds - 1
    critical = float(special.stdtrit(freedom, 1 - alpha / 2))
    # nctdtrinc(df, p, t): the noncentrality at which a noncentral t stays below `t` with probability p
    noncentrality = float(special.nctdtrinc(freedom, 1 - power, critical))
    return noncentrality * spread / math.sqrt(seeds)


@dataclass(frozen=True)
class TaskEvidence:
    """What a suite's seeds can say about the arms on one task.

    Parameters
    ----------
    arms, comparisons
        How many arms apply, and how many pairs of them share one correction.
    claims
        `procedure`: pretraining seeds are the replicates; `artifact`: final seeds are, for given weights.
    replicate, seeds
        What is counted, `pretraining seed` or `final seed`, and how many there are per arm.
    smallest_p, smallest_p_corrected
        What the exact test can give at the very best; after correction, for the smallest of all pairs.
    seeds_needed
        With which the best of all pairs could be significant.
    minimum_detectable
        From the recorded spread of differences between seeds, averaged over pairs; patients not included.
        `None` where nothing is recorded.
    recorded_pairs
        Pairs of arms behind it.
    metric
        The unit it is in.
    """

    task: str
    arms: int
    comparisons: int
    claims: str
    replicate: str
    seeds: int
    smallest_p: float
    smallest_p_corrected: float
    seeds_needed: int
    minimum_detectable: float | None
    recorded_pairs: int
    metric: str

    @property
    def enough(self) -> bool:
        """Whether the seeds alone could make any pair significant."""
        return self.comparisons > 0 and self.smallest_p_corrected <= ALPHA

    @property
    def warning(self) -> str:
        """What to know before compute is spent; empty where there is nothing."""
        if not self.comparisons or self.enough:
            return ""
        return (
            f"{counted(self.seeds, self.replicate)} cannot be significant in an exact test over seeds: p is "
            f"at least {self.smallest_p:.3g}, {self.smallest_p_corrected:.3g} after correction for "
            f"{counted(self.comparisons, 'pair')} of arms; {counted(self.seeds_needed, self.replicate)} "
            "could be"
        )


def warnings_of(evidence: Sequence[TaskEvidence]) -> list[str]:
    """The warnings of all tasks, each once, with the tasks that it is about."""
    tasks: dict[str, list[str]] = defaultdict(list)
    for one in evidence:
        if one.warning:
            tasks[one.warning].append(one.task)
    return [f"{', '.join(names)}: {warning}" for warning, names in tasks.items()]


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "seed"), counted(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def evidence_for(
    task: str,
    primary: PrimaryEndpoint,
    *,
    arms: int,
    pretraining_seeds: int,
    final_seeds: int,
    trains: bool = True,
    spreads: Sequence[float] = (),
) -> TaskEvidence:
    """What the seeds of a suite can prove on `task`.

    Parameters
    ----------
    trains
        Whether the task draws random numbers; where it does not, only pretraining seeds are replicates.
    spreads
        Recorded standard deviation of the paired differences, by pair of arms.
    """
    procedure = pretraining_seeds > 1
    by_pretraining = procedure or not trains
    seeds = pretraining_seeds if by_pretraining else final_seeds
    comparisons = arms * (arms - 1) // 2
    least = smallest_p(seeds)
    pooled = float(np.sqrt(np.mean(np.square(spreads)))) if spreads else None
    return TaskEvidence(
        task=task,
        arms=arms,
        comparisons=comparisons,
        claims="procedure" if procedure else "artifact",
        replicate="pretraining seed" if by_pretraining else "final seed",
        seeds=seeds,
        smallest_p=least,
        smallest_p_corrected=min(1.0, least * max(comparisons, 1)),
        seeds_needed=seeds_needed(max(comparisons, 1)),
        minimum_detectable=None if pooled is None else minimum_detectable(pooled, seeds),
        recorded_pairs=len(spreads),
        metric=primary.label,
    )


def evidence_of(plan: Plan, run: RunFolder | None = None) -> list[TaskEvidence]:
    """What the seeds of a plan can prove, per task; with the spreads that `run` has recorded."""
    seeds = plan.suite.seeds
    primaries = {name: task.card.primary for name, task in plan.tasks.items()}
    spreads: dict[str, list[float]] = {}
    if run is not None:
        spreads = recorded_spreads(run, primaries, procedure=len(seeds.pretraining) > 1)
    # derived arms and controls have comparisons and corrections of their own
    arms = Counter(cell.task for cell in plan.applicable if plan.arms[cell.strategy].competes)
    return [
        evidence_for(
            name,
            primary,
            arms=arms[name],
            pretraining_seeds=len(seeds.pretraining),
            final_seeds=len(plan.final_seeds(name)),
            trains=plan.tasks[name].card.trains,
            spreads=spreads.get(name, ()),
        )
        for name, primary in primaries.items()
        if arms[name]
    ]


def recorded_spreads(
    run: RunFolder, primaries: Mapping[str, PrimaryEndpoint], *, procedure: bool
) -> dict[str, list[float]]:
    """Standard deviation, between seeds, of the difference in the primary endpoint of every pair of arms.

    Parameters
    ----------
    procedure
        Whether pretraining seeds are the replicates (final seeds averaged inside), or final ones.

    Returns
    -------
    dict
        Task to one number per pair of arms that share at least two seeds; nothing where nothing is recorded.
    """
    if not all(run.table(name).is_file() for name in ("trials", "predictions", "scores")):
        return {}
    import polars as pl  # noqa: PLC0415 - only where there are tables

    found: dict[str, list[float]] = {}
    for task, values in _endpoints(run.root, primaries, pl).items():
        by_arm: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for arm, pretraining_seed, seed, value in values:
            by_arm[arm][pretraining_seed if procedure else seed].append(value)
        means = {
            arm: {seed: float(np.mean(of)) for seed, of in seeds.items()} for arm, seeds in by_arm.items()
        }
        found[task] = []
        for one, two in combinations(sorted(means), 2):
            shared = sorted(means[one].keys() & means[two].keys())
            if len(shared) >= 2:
                differences = [means[one][seed] - means[two][seed] for seed in shared]
                found[task].append(float(np.std(differences, ddof=1)))
    return found


def _endpoints(
    root: Path, primaries: Mapping[str, PrimaryEndpoint], pl: Any
) -> dict[str, list[tuple[str, int, int, float]]]:
    """Task to (arm, pretraining seed, seed, endpoint) of the tuned finals on all labels."""
    run = RunFolder(root)
    trials = pl.read_parquet(run.table("trials"))
    chosen = (pl.col("stage") == "final") & (pl.col("status") == "done") & pl.col("strategy").is_not_null()
    for column in ("label_fraction", "split"):
        if column in trials.columns:
            chosen &= pl.col(column).fill_null(0) == 0
    trials = trials.filter(chosen)
    predictions, scores = (pl.read_parquet(run.table(name)) for name in ("predictions", "scores"))
    by_key: dict[str, dict[str, polars.DataFrame]] = {
        name: {key: frame for (key,), frame in table.group_by("key")}
        for name, table in (("predictions", predictions), ("scores", scores))
    }
    found: dict[str, list[tuple[str, int, int, float]]] = defaultdict(list)
    for row in trials.iter_rows(named=True):
        if row["task"] not in primaries or "tuned" not in row["protocols"]:
            continue
        value = endpoint_value(
            primaries[row["task"]],
            by_key["predictions"].get(row["key"], predictions.clear()),
            by_key["scores"].get(row["key"], scores.clear()),
        )
        if value is not None and math.isfinite(value):
            found[row["task"]].append((row["strategy"], row["pretraining_seed"], row["seed"], value))
    return found
