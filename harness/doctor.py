"""What this machine has and lacks, with the command that mends it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from registry.catalog import Catalogue
from registry.contracts import Check

REQUIRED = ("numpy", "polars", "pydantic", "ray", "safetensors", "scikit-learn", "scipy", "timm", "torch")
OLDEST_PYTHON = (3, 11)
ROOM_BYTES = 5 * 2**30
KAOLIN_INSTALL = (
    "pip install torch==2.8.0 torchvision==0.23.0, then pip install 'kaolin>=0.17,<0.19' "
    "-f https://nvidia-kaolin.s3.us-east-2.amazonaws.com/torch-2.8.0_cu128.html"
)


def examine(catalogue: Catalogue, *, cache: Path, output: Path) -> Iterator[Check]:
    """Look at everything, cheapest first, so that a person can watch."""
    yield python_check()
    yield from (package_check(name) for name in REQUIRED)
    yield disk_check("cache", cache)
    yield disk_check("run folder", output)
    yield processors_check()
    yield torch_check()
    yield kaolin_check()
    for name, entry in catalogue.domains.items():
        try:
            yield from catalogue.domain(name).doctor()
        except Exception as error:
            yield Check(f"domain {name}", False, f"{type(error).__name__}: {error}", f"mend {entry.origin}")
    yield ray_check()


def python_check() -> Check:
    """Whether Python is new enough."""
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Check(
        "python", sys.version_info >= OLDEST_PYTHON, platform.python_version(), f"install Python {oldest}+"
    )


def package_check(name: str) -> Check:
    """Whether a required package is installed, by its distribution: nothing is imported."""
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed", f"pip install {name}")


def disk_check(name: str, folder: Path) -> Check:
    """Whether there is room for `folder` and it can be written, without creating it."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    detail = f"{folder}: {free / 2**30:.1f} GB free"
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Check(name, False, f"{existing} cannot be written", "choose another folder")
    return Check(
        name, free >= ROOM_BYTES, detail, f"free {ROOM_BYTES / 2**30:.0f} GB or choose another folder"
    )


def processors_check() -> Check:
    """How many processors this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("processors", True, f"{usable} usable of {os.cpu_count()}")


def torch_check() -> Check:
    """Whether torch computes, and on what."""
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        return Check("torch computes", False, f"{type(error).__name__}: {error}", "pip install torch")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = ", ".join(torch.cuda.get_device_name(index) for index in range(gpus)) or "no CUDA device"
    return Check("torch computes", True, f"{torch.get_num_threads()} threads, {devices}")


def kaolin_check() -> Check:
    """State of the optional mesh library: absent, placeholder, broken or ok.

    The distribution's version comes first: the package index carries an empty placeholder under this name,
    which can be found but not imported.
    """
    try:
        version = importlib.metadata.version("kaolin")
    except importlib.metadata.PackageNotFoundError:
        return Check("kaolin (optional)", True, f"absent; for CUDA mesh operations: {KAOLIN_INSTALL}")
    major, minor = (int(part) for part in version.split(".")[:2])
    if (major, minor) < (0, 15):
        return Check(
            "kaolin (optional)",
            False,
            f"placeholder: version {version} is empty",
            f"pip uninstall kaolin, then {KAOLIN_INSTALL}",
        )
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its warp library prints a banner
            with contextlib.suppress(ImportError):
                importlib.import_module("warp").config.quiet = True
            importlib.import_module("kaolin")
            importlib.import_module("kaolin._C")
    except Exception as error:
        return Check("kaolin (optional)", False, f"broken: {version}, {error}", KAOLIN_INSTALL)
    return Check("kaolin (optional)", True, f"ok: {version}")


def ray_check() -> Check:
    """Whether a local Ray starts and runs a function."""
    from harness.executors.tune import local_ray_answers  # noqa: PLC0415 - Ray only where it is used

    try:
        seconds = local_ray_answers()
    except Exception as error:
        return Check(
            "ray starts", False, f"{type(error).__name__}: {error}", "use --executor inline meanwhile"
        )
    return Check("ray starts", True, f"a local worker answered after {seconds:.1f} s, on loopback only")
