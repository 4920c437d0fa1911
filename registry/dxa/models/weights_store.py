"""A folder of pretrained weights that a machine without a network can use: written, listed, verified."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from registry.contracts import InputError
from registry.dxa.models.pretrained import (
    BUNDLED,
    ENDINGS,
    Pretrained,
    bundled,
    from_file,
    from_hub,
    require_network,
)


@dataclass(frozen=True)
class Stored:
    """One network's weights, as they were found.

    Parameters
    ----------
    name
        Of the timm model.
    place
        A file, or a package.
    source
        What was written down when the file was made; empty where nothing was.
    sha256
        Digest of the weights as found; empty where they are not well.
    problem
        What is wrong with them; empty where nothing is.
    """

    name: str
    place: str
    source: str
    sha256: str
    problem: str = ""


def fetch(name: str, folder: Path) -> Path:
    """Write a network's ImageNet weights into `folder`, with their source and digest in the file's head.

    Raises
    ------
    InputError
        If the name is not known or the weights cannot be had.
    """
    require_network(name)
    try:
        weights = bundled() if name == BUNDLED else from_hub(name)
    except InputError:
        raise
    except Exception as error:
        # The hub's client raises its own, changing exceptions; whatever it was, there are no weights.
        raise InputError(
            f"ImageNet weights of {name!r} cannot be fetched: {type(error).__name__}: {error}",
            mend="connect to a network and try again",
        ) from error
    return store(name, weights, folder)


def store(name: str, weights: Pretrained, folder: Path) -> Path:
    """Write weights to `folder`/`name`.safetensors, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{ENDINGS[0]}"
    temporary = folder / f".{path.name}.{os.getpid()}"
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in weights.tensors.items()}
    try:
        save_file(tensors, temporary, metadata={"source": weights.source, "sha256": weights.sha256()})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def stored_files(folder: Path) -> dict[str, Path]:
    """Model name to its file, for every file of weights in `folder`."""
    found: dict[str, Path] = {}
    for ending in ENDINGS:
        for path in sorted(folder.glob(f"*{ending}")):
            found.setdefault(path.name.removesuffix(ending), path)
    return dict(sorted(found.items()))


def examine(name: str, path: Path) -> Stored:
    """Read a file of weights whole, and compare it with the network and with what its head says."""
    source, declared = _head(path)
    try:
        sha256 = from_file(name, path).sha256()
    except InputError as error:
        return Stored(name, str(path), source, "", error.message)
    problem = (
        "" if declared in {"", sha256} else f"its digest is {sha256[:12]}, written down is {declared[:12]}"
    )
    return Stored(name, str(path), source, sha256, problem)


def examine_bundled() -> Stored:
    """The weights that come with the installation."""
    try:
        weights = bundled()
    except InputError as error:
        return Stored(BUNDLED, "installation", "", "", error.message)
    return Stored(BUNDLED, "installation", weights.source, weights.sha256())


def _head(path: Path) -> tuple[str, str]:
    if path.suffix != ENDINGS[0]:
        return "", ""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        return "", ""
    return metadata.get("source", ""), metadata.get("sha256", "")
