"""Which library computes on meshes: what is asked for, what is there, and the choice."""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from registry.contracts import InputError

if TYPE_CHECKING:
    from registry.dxa.mesh.torch_ops import TorchBackend

Request = Literal["auto", "kaolin", "torch"]
#: How to get the real kaolin; one page per torch and CUDA version, which stops at torch 2.8 and Python 3.12.
INSTALL = (
    "pip install torch==2.8.0 torchvision==0.23.0 && pip install 'pretraining-harness[kaolin]' -f "
    "https://nvidia-kaolin.s3.us-east-2.amazonaws.com/torch-2.8.0_cu128.html"
)
#: The package index carries an empty distribution of this name below this version.
_FIRST_REAL = (0, 15)


@dataclass(frozen=True)
class KaolinState:
    """What is installed under the name kaolin.

    Parameters
    ----------
    status
        `absent`; `placeholder`: the empty distribution of the package index, which raises on import;
        `broken`: real, and cannot be imported here; `ok`.
    version, detail
        As far as known, and what is wrong.
    module
        The imported package where it is usable.
    """

    status: Literal["absent", "placeholder", "broken", "ok"]
    version: str = ""
    detail: str = ""
    module: Any = None

    def __str__(self) -> str:
        """In words, for `doctor` and for errors."""
        words = {
            "absent": "kaolin is not installed",
            "placeholder": f"kaolin {self.version} is the empty placeholder of the package index",
            "broken": f"kaolin {self.version} cannot be imported: {self.detail}",
            "ok": f"kaolin {self.version}",
        }
        return words[self.status]


def probe_kaolin() -> KaolinState:
    """Look for kaolin, by the version of its distribution first: importing the placeholder raises."""
    try:
        version = importlib.metadata.version("kaolin")
    except importlib.metadata.PackageNotFoundError:
        return KaolinState("absent")
    if _numbers(version) < _FIRST_REAL:
        return KaolinState("placeholder", version)
    try:
        _silence_warp()
        module = importlib.import_module("kaolin")
        importlib.import_module("kaolin._C")  # what is compiled must fit this torch
    except Exception as error:
        return KaolinState("broken", version, f"{type(error).__name__}: {error}".splitlines()[0])
    return KaolinState("ok", version, module=module)


def choose_backend(request: Request = "auto") -> TorchBackend:
    """The backend for a setting.

    Parameters
    ----------
    request
        `torch`; `kaolin`; or `auto`: kaolin where it is usable, torch otherwise.

    Raises
    ------
    InputError
        If kaolin is asked for and cannot be used; with the command that installs it.
    """
    from registry.dxa.mesh.torch_ops import TorchBackend  # noqa: PLC0415

    if request == "torch":
        return TorchBackend()
    state = probe_kaolin()
    if state.status == "ok":
        from registry.dxa.mesh.kaolin_ops import KaolinBackend  # noqa: PLC0415

        return KaolinBackend(state.module)
    if request == "kaolin":
        raise InputError(f"mesh_backend = 'kaolin': {state}", mend=f"use 'auto' or 'torch', or {INSTALL}")
    return TorchBackend()


def describe() -> str:
    """For `doctor`: what `auto` would use here, and what that rests on."""
    state = probe_kaolin()
    if state.status == "ok":
        return f"{state} (the project's own tests were not run with real kaolin)"
    return f"torch ({state}; not run with real kaolin)"


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in parts)


def _silence_warp() -> None:
    """Keep kaolin's dependency from printing a banner."""
    try:
        warp = importlib.import_module("warp")
    except ImportError:
        return
    warp.config.quiet = True
