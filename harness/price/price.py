"""What the rest of a suite costs: hours of processors and accelerators, and time on a wall clock."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.price.timings import Timing
from harness.resources import TrialResources
from harness.specs import STAGES, Stage
from registry.contracts import InputError


@dataclass(frozen=True)
class Cluster:
    """Where the work would be done.

    Parameters
    ----------
    cpus, gpus
        What there is for trials.
    """

    cpus: float
    gpus: float = 0.0

    def slots(self, shapes: Mapping[Stage, Iterable[TrialResources]]) -> dict[Stage, int]:
        """How many trials of each stage run at once, if all of them need what the largest does.

        Parameters
        ----------
        shapes
            What trials of each stage need, as in `Plan.shapes`.

        Raises
        ------
        InputError
            If not even one fits.
        """
        return {stage: min(map(self._slots, shapes[stage])) for stage in STAGES}

    def _slots(self, needed: TrialResources) -> int:
        shares = [self.cpus / needed.cpus]
        if needed.gpus:
            shares.append(self.gpus / needed.gpus)
        slots = math.floor(min(shares) + 1e-9)
        if slots < 1:
            raise InputError(
                f"one trial needs {needed.described}, the cluster has {self.cpus:g} CPUs and "
                f"{self.gpus:g} GPUs",
                mend="state a larger cluster, or lower [resources] in the suite or --resources",
            )
        return slots


def this_machine() -> Cluster:
    """Processors that this process may use, and NVIDIA devices that the system shows."""
    # not every system can tell the processors that may be used from those that there are
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Cluster(cpus, sum(path.name[6:].isdecimal() for path in Path("/dev").glob("nvidia*")))


def parse_cluster(text: str) -> Cluster:
    """Read `cpus=64,gpus=8`.

    Raises
    ------
    InputError
        If it says something else.

    Examples
    --------
    >>> parse_cluster("cpus=64,gpus=8")
    Cluster(cpus=64.0, gpus=8.0)
    """
    values: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            values[name.strip()] = float(number)
        except ValueError:
            values = {}
            break
    fits = set(values) in ({"cpus"}, {"cpus", "gpus"})
    if not fits or not all(math.isfinite(value) and value >= 0 for value in values.values()):
        raise InputError(f"cluster {text!r} cannot be read", mend="say, for instance, cpus=64,gpus=8")
    return Cluster(values["cpus"], values.get("gpus", 0.0))


@dataclass(frozen=True)
class Work:
    """Trials of one kind that are to run.

    Parameters
    ----------
    what
        The kind in words.
    count
        How many; of trials that depend on a selection, as many as there can be.
    chain
        What has to run before one of these can start, as kinds.
    needs
        What each is given.
    """

    kind: str
    what: str
    stage: Stage
    count: int
    chain: tuple[str, ...] = ()
    needs: TrialResources = field(default_factory=TrialResources)


@dataclass(frozen=True)
class Price:
    """What the work costs, as far as it is known.

    Parameters
    ----------
    trials, priced
        How many are to run, and of how many it is known what they take.
    cpu_hours, gpu_hours
        Reserved for the priced trials: their time on the wall clock, times the CPUs and GPUs of each.
    wall_hours
        The least time that the priced trials take: no slot idle, or the longest chain of trials that wait
        for each other.
    slots
        Trials at once, by stage.
    measured, extrapolated
        Trials behind the timings, and kinds whose timing is extrapolated from a beginning.
    unknown
        Kinds of trials without a timing, in words.
    """

    trials: int
    priced: int
    cpu_hours: float
    gpu_hours: float
    wall_hours: float
    slots: Mapping[Stage, int]
    measured: int
    extrapolated: int
    unknown: tuple[str, ...]


def price_of(
    work: Iterable[Work],
    timings: Mapping[str, Timing],
    *,
    slots: Mapping[Stage, int] | int,
) -> Price:
    """Add up the work that has a timing, and name the rest.

    Examples
    --------
    >>> work = [
    ...     Work("a", "pretrain x", "pretrain", 1, needs=TrialResources(cpus=2)),
    ...     Work("b", "tune x / t", "tune", 4, ("a",), TrialResources(cpus=2)),
    ...     Work("c", "tune y / t", "tune", 1),
    ... ]
    >>> timings = {"a": Timing(3600, 3000, 1), "b": Timing(900, 900, 2)}
    >>> price = price_of(work, timings, slots=2)
    >>> (price.priced, price.cpu_hours, price.wall_hours, price.unknown)
    (5, 4.0, 1.25, ('tune y / t',))
    """
    if isinstance(slots, int):
        slots = dict.fromkeys(STAGES, slots)
    work = [one for one in work if one.count]
    known = [one for one in work if one.kind in timings]
    pending = {one.kind for one in known}
    hours = {one.kind: one.count * timings[one.kind].wall_seconds / 3600 for one in known}
    busy: dict[Stage, float] = defaultdict(float)
    longest = 0.0
    for one in known:
        busy[one.stage] += hours[one.kind] / slots[one.stage]
        chain = (kind for kind in (*one.chain, one.kind) if kind in pending)
        longest = max(longest, sum(timings[kind].wall_seconds for kind in chain))
    return Price(
        trials=sum(one.count for one in work),
        priced=sum(one.count for one in known),
        cpu_hours=sum(hours[one.kind] * one.needs.cpus for one in known),
        gpu_hours=sum(hours[one.kind] * one.needs.gpus for one in known),
        wall_hours=max(sum(busy.values()), longest / 3600),
        slots=slots,
        measured=sum(timings[kind].trials for kind in pending),
        extrapolated=sum(not timings[kind].trials for kind in pending),
        unknown=tuple(dict.fromkeys(one.what for one in work if one.kind not in timings)),
    )
