"""Look at every node of a cluster before work starts: packages, code, plug-ins, shared folders.

A difference would otherwise come out as trials that fail one by one, or worse, as numbers of another version.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import os
import platform
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.executors.base import WorkersUnavailableError
from registry.catalog import Catalogue
from registry.contracts import InputError

#: Packages whose versions decide results or whether processes understand each other.
PACKAGES = ("ray", "torch", "torchvision", "timm", "numpy", "scipy", "polars", "safetensors", "scikit-learn")
OWN_PACKAGES = ("harness", "registry", "reports")
ANSWER_SECONDS = 180.0
#: How many differences an error lists.
LISTED = 6


@dataclass(frozen=True)
class Requirements:
    """What every node must have.

    Parameters
    ----------
    plugins
        As in the request.
    shared
        Folders that every node must see; none where an object store is used.
    storage
        URI of the object store that every node must reach, if one is used.
    """

    plugins: tuple[str, ...] = ()
    shared: tuple[Path, ...] = ()
    storage: str | None = None


def describe_here(plugins: Sequence[str], storage: str | None) -> dict[str, str]:
    """What decides results in this process: Python, packages, our own code, every registered name."""
    facts = {"Python": ".".join(platform.python_version_tuple()[:2]), "the code of harness": code_digest()}
    for name in PACKAGES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "absent"
    try:
        catalogue = Catalogue.load(tuple(plugins))
        for kind in ("strategies", "tasks", "domains"):
            for name, entry in sorted(getattr(catalogue, kind).items()):
                facts[f"{kind} {name}"] = entry.digest or "built in"
    except InputError as error:
        facts["plug-ins"] = str(error)
    if storage is not None:
        from harness.storage import ObjectStore  # noqa: PLC0415

        try:
            ObjectStore(storage).names("")
        except Exception as error:
            facts[f"storage {storage}"] = f"{type(error).__name__}: {error}"
    return facts


def code_digest() -> str:
    """SHA-256 of the Python files of our own packages, so that two checkouts of one version differ."""
    digest = hashlib.sha256()
    for name in OWN_PACKAGES:
        folder = Path(str(importlib.import_module(name).__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def check_nodes(required: Requirements) -> None:
    """Ask every node, and compare with this process. Ray must be connected.

    Raises
    ------
    WorkersUnavailableError
        Listing every difference by node.
    """
    import ray  # noqa: PLC0415 - its environment is set by now

    alive = [node for node in importlib.import_module("ray").nodes() if node["Alive"]]
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in alive}
    here = describe_here(required.plugins, required.storage)
    with _marked(required.shared) as marks:
        told = {
            "plugins": list(required.plugins),
            "storage": required.storage,
            "marks": [str(mark) for mark in marks],
        }
        probe = ray.remote(num_cpus=0, max_retries=1)(_probe())
        strategy = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        asked = {
            node: probe.options(scheduling_strategy=strategy(node, soft=False)).remote(told) for node in nodes
        }
        problems = []
        for node, answer in asked.items():
            try:
                there = ray.get(answer, timeout=ANSWER_SECONDS)
            except Exception as error:
                problems.append(f"node {nodes[node]} does not answer: {type(error).__name__}: {error}")
                continue
            problems += [f"node {nodes[node]}: {problem}" for problem in differences(here, there)]
    if problems:
        listed = "\n  ".join(problems[:LISTED])
        more = f"\n  and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        raise WorkersUnavailableError(
            f"nodes of the cluster differ from this machine:\n  {listed}{more}\n",
            mend="install the same packages on every node, and put plug-ins at the same path",
        )


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """What a node has otherwise, in words."""
    if "error" in there:
        return [f"the code of harness does not load: {there['error']}"]
    facts = there["facts"]
    if "plug-ins" in facts:
        return [f"plug-ins do not load: {facts['plug-ins']}"]
    found = [
        f"{name} is {facts.get(name, 'absent')}, here {here.get(name, 'absent')}"
        for name in [*here, *(name for name in facts if name not in here)]
        if facts.get(name) != here.get(name)
    ]
    return found + [f"{folder} is not the folder of this machine" for folder in there["unseen"]]


def _probe() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The function that runs on the nodes; a local one, so that it travels even where harness is absent."""

    def probe(told: dict[str, Any]) -> dict[str, Any]:
        from pathlib import Path  # noqa: PLC0415

        try:
            from harness.executors.nodes import describe_here  # noqa: PLC0415

            facts = describe_here(told["plugins"], told["storage"])
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        return {
            "facts": facts,
            "unseen": [str(Path(m).parent) for m in told["marks"] if not Path(m).exists()],
        }

    return probe


@contextlib.contextmanager
def _marked(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """A file of an unguessable name in each folder, so that a node can tell whether it sees the same one."""
    name = f".seen-{os.getpid()}-{secrets.token_hex(8)}"
    marks = [folder / name for folder in folders]
    try:
        for mark in marks:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        yield marks
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)
