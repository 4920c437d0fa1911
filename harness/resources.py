"""What one trial needs of a machine: the more of what a suite's `[resources]` gives and its code declares.

Resources decide where and when a trial runs, never what comes out, so they are no part of its identity.
What `--resources` states holds as stated.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from registry.contracts import InputError, ResourceRequest

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {f"{unit}i": 2 ** (10 * power) for power, unit in enumerate("kmgt", 1)}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*$", re.IGNORECASE)
#: A request for more than one GPU is for whole ones, as Ray demands.
_WHOLE_ABOVE = 1
#: Declared by a strategy or task that declares nothing.
NOTHING = ResourceRequest()


def bytes_of(text: str) -> int:
    """The number of bytes that `text` names.

    Raises
    ------
    ValueError
        If it names none.

    Examples
    --------
    >>> bytes_of("8GiB"), bytes_of("500 MB"), bytes_of("1024")
    (8589934592, 500000000, 1024)
    """
    match = _SIZE.match(text)
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{text!r} is no amount of memory; write it like '8GiB' or '500MB'")
    return round(float(match[1]) * _UNITS[(match[2] or "").lower()])


def size_text(number: float) -> str:
    """Bytes as people read them.

    Examples
    --------
    >>> size_text(8 * 2**30), size_text(1.5 * 2**20)
    ('8 GiB', '1.5 MiB')
    """
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 2 ** (10 * power):
            return f"{number / 2 ** (10 * power):.4g} {unit}"
    return f"{number:g} B"


def _check_size(text: str) -> str:
    bytes_of(text)
    return text


def _check_gpus(share: float) -> float:
    if share > _WHOLE_ABOVE and share != int(share):
        raise ValueError(f"{share:g} GPUs cannot be given; ask for a fraction below 1 or for whole GPUs")
    return share


Cpus = Annotated[float, Field(gt=0)]
Gpus = Annotated[float, Field(ge=0), AfterValidator(_check_gpus)]
Memory = Annotated[str, AfterValidator(_check_size)]
Seconds = Annotated[float, Field(gt=0)]
Fixed = Annotated[tuple[Literal["cpus", "gpus", "memory"], ...], Field(strict=False)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class StageResources(_Table):
    """`[resources.pretrain]`, `[resources.tune]`, `[resources.final]`: where a stage needs other than all.

    Attributes
    ----------
    cpus, gpus, memory, time_limit_seconds
        As in `[resources]`; absent: as there.
    fixed
        As in `[resources]`, besides what is fixed there.
    """

    cpus: Cpus | None = None
    gpus: Gpus | None = None
    memory: Memory | None = None
    time_limit_seconds: Seconds | None = None
    fixed: Fixed = ()


class Resources(_Table):
    """`[resources]`: what one trial needs.

    Attributes
    ----------
    cpus, gpus
        Share of the machine; a fraction lets several trials share one.
    threads
        Threads of the numerical libraries inside a trial.
    memory
        What is set aside per trial, like `"8GiB"`: fewer trials run at once where it is scarce. A trial that
        runs out of memory is tried again with twice as much. Nothing is set aside where it is not given.
    time_limit_seconds
        A trial that takes longer is ended and recorded as failed; no limit where it is not given.
    fixed
        Of these tables, what holds as it is here. Of the rest a trial is given the more of what is here and
        what its strategy or task declares. `--resources` fixes what it names.
    pretrain, tune, final
        Where a stage needs other than the rest.
    """

    cpus: Cpus = 1
    gpus: Gpus = 0
    threads: Annotated[int, Field(ge=1)] = 1
    memory: Memory | None = None
    time_limit_seconds: Seconds | None = None
    fixed: Fixed = ()
    pretrain: StageResources = StageResources()
    tune: StageResources = StageResources()
    final: StageResources = StageResources()

    def of(
        self, stage: Literal["pretrain", "tune", "final"], declared: ResourceRequest = NOTHING
    ) -> TrialResources:
        """What a trial of `stage` needs, whose strategy or task declares that it needs `declared`."""
        own: StageResources = getattr(self, stage)
        fixed = {*self.fixed, *own.fixed}

        def value(name: str) -> Any:
            given = getattr(own, name)
            return getattr(self, name) if given is None else given

        memory = value("memory")
        given = 0 if memory is None else bytes_of(memory)
        return TrialResources(
            cpus=value("cpus") if "cpus" in fixed else max(value("cpus"), declared.cpus),
            gpus=value("gpus") if "gpus" in fixed else max(value("gpus"), declared.gpus),
            memory_bytes=(given if "memory" in fixed else max(given, declared.memory_bytes)) or None,
            time_limit_seconds=value("time_limit_seconds"),
        )

    @property
    def shapes(self) -> tuple[TrialResources, ...]:
        """What trials of each stage need, without repeats, pretraining first."""
        return tuple(dict.fromkeys(self.of(stage) for stage in ("pretrain", "tune", "final")))


@dataclasses.dataclass(frozen=True)
class TrialResources:
    """What one trial is given.

    Parameters
    ----------
    memory_bytes
        Set aside for it; `None`: nothing is.
    time_limit_seconds
        When it is ended; `None`: never.
    """

    cpus: float = 1
    gpus: float = 0
    memory_bytes: int | None = None
    time_limit_seconds: float | None = None

    @property
    def device(self) -> str:
        """Where its tensors live."""
        return "cuda" if self.gpus else "cpu"

    @property
    def described(self) -> str:
        """In words, for errors."""
        words = [f"{self.cpus:g} CPUs", f"{self.gpus:g} GPUs"]
        words += [f"{size_text(self.memory_bytes)} of memory"] if self.memory_bytes else []
        return ", ".join(words[:-1]) + f" and {words[-1]}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they travel to a worker."""
        return dataclasses.asdict(self)


def parse_resources(text: str) -> dict[str, Any]:
    """The table that `--resources` means.

    Parameters
    ----------
    text
        Like `gpus=0.5,memory=8GiB,pretrain.gpus=1`.

    Raises
    ------
    InputError
        If a part of it is not `key=value`. Keys and values themselves are checked with the suite.

    Examples
    --------
    >>> parse_resources("gpus=0.5,memory=8GiB,pretrain.gpus=1")
    {'gpus': 0.5, 'memory': '8GiB', 'pretrain': {'gpus': 1}}
    """
    table: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise InputError(
                f"--resources: {part!r} is not KEY=VALUE", mend="write it like gpus=0.5,memory=8GiB"
            )
        *stage, name = key.split(".")
        place = table
        for word in stage:
            place = place.setdefault(word, {})
        place[name] = value if name == "memory" else _number(value)
    return table


def stated(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`[resources]` with what the command line says, which holds whatever strategies and tasks declare.

    Examples
    --------
    >>> stated({"cpus": 2, "fixed": ["cpus"]}, {"gpus": 0, "pretrain": {"gpus": 1}})
    {'cpus': 2, 'fixed': ['cpus', 'gpus'], 'gpus': 0, 'pretrain': {'gpus': 1, 'fixed': ['gpus']}}
    """
    result = merged(table, changes)
    named = [name for name in ("cpus", "gpus", "memory") if name in changes]
    if named:
        result["fixed"] = list(dict.fromkeys([*table.get("fixed", ()), *named]))
    for stage in ("pretrain", "tune", "final"):
        if isinstance(changes.get(stage), Mapping):
            result[stage] = stated(table.get(stage, {}), changes[stage])
    return result


def merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`table` with `changes`, tables within it key by key."""
    result = dict(table)
    for key, value in changes.items():
        inner = result.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            value = merged(inner, value)  # noqa: PLW2901
        result[key] = value
    return result


def _number(text: str) -> Any:
    """A number where it is one; anything else is refused by the suite's check, which names the key."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
