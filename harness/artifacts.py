"""Content-addressed weights: equal weights have one folder, and a folder is what its name says or an error.

`<cache>/artifacts/<SHA-256>/` holds `manifest.json` and one safetensors file per part. The digest is that of
the manifest's canonical text, which names the digest of every part; loading checks all of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from harness.files import canonical_json, digest_of, write_folder
from registry.contracts import Artifact, DataError

SCHEMA = 1
_PART_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class ArtifactStore:
    """The artifacts of a cache.

    Examples
    --------
    >>> import numpy, tempfile
    >>> store = ArtifactStore(Path(tempfile.mkdtemp()))
    >>> digest = store.save(Artifact({"encoder": {"weight": numpy.eye(2)}}))
    >>> store.load(digest).parts["encoder"]["weight"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "artifacts"

    def save(self, artifact: Artifact) -> str:
        """Write `artifact`, whole or not at all, and return its digest.

        Raises
        ------
        ValueError
            If a part's name is no plain word, or its metadata cannot be written as JSON.
        StorageError
            If the disk is full.
        """
        files = _part_files(artifact)
        manifest = {
            "schema": SCHEMA,
            "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
            "metadata": dict(artifact.metadata),
            "validation": dict(artifact.validation),
        }
        files["manifest.json"] = canonical_json(manifest).encode()
        digest = digest_of(manifest)
        write_folder(self.folder / digest, files)
        return digest

    def load(self, digest: str) -> Artifact:
        """Read an artifact and check every byte of it.

        Raises
        ------
        DataError
            If it is missing or differs from its digests; names the file.
        """
        from safetensors.numpy import load  # noqa: PLC0415

        manifest = self._manifest(digest)
        parts = {}
        for name, expected in manifest["files"].items():
            content = self._read(digest, name)
            if hashlib.sha256(content).hexdigest() != expected:
                raise self._corrupt(digest, name)
            parts[Path(name).stem] = load(content)
        return Artifact(parts, manifest["metadata"], manifest["validation"])

    def has(self, digest: str) -> bool:
        """Whether there is a folder of this name, whatever its state."""
        return (self.folder / digest).is_dir()

    def verify(self, digest: str) -> None:
        """Check every byte without keeping it; raises what `load` raises."""
        for name, expected in self._manifest(digest)["files"].items():
            if hashlib.sha256(self._read(digest, name)).hexdigest() != expected:
                raise self._corrupt(digest, name)

    def _manifest(self, digest: str) -> dict[str, Any]:
        content = self._read(digest, "manifest.json")
        if hashlib.sha256(content).hexdigest() != digest:
            raise self._corrupt(digest, "manifest.json")
        manifest: dict[str, Any] = json.loads(content)
        if manifest["schema"] != SCHEMA:
            raise DataError(
                f"artifact {self.folder / digest} has schema {manifest['schema']}, not {SCHEMA}",
                mend="give the same command again: the pretraining is repeated",
            )
        return manifest

    def _read(self, digest: str, name: str) -> bytes:
        try:
            return (self.folder / digest / name).read_bytes()
        except FileNotFoundError as error:
            raise DataError(
                f"artifact file {self.folder / digest / name} is missing",
                mend="give the same command again: the pretraining is repeated",
            ) from error

    def _corrupt(self, digest: str, name: str) -> DataError:
        return DataError(
            f"artifact file {self.folder / digest / name} is corrupt: its SHA-256 is not the recorded one",
            mend="give the same command again: the pretraining is repeated",
        )


def model_files(artifact: Artifact) -> dict[str, bytes]:
    """The files of a kept model: `model.json` (its metadata) and `model.<part>.safetensors`."""
    files = {f"model.{name}": content for name, content in _part_files(artifact).items()}
    return {"model.json": canonical_json(dict(artifact.metadata)).encode(), **files}


def read_model(folder: Path) -> Artifact | None:
    """The model that `model_files` left in `folder`; `None` where there is none."""
    from safetensors.numpy import load  # noqa: PLC0415 - not needed to plan

    description = folder / "model.json"
    if not description.is_file():
        return None
    parts = {
        path.name.split(".")[1]: load(path.read_bytes())
        for path in sorted(folder.glob("model.*.safetensors"))
    }
    return Artifact(parts, json.loads(description.read_bytes()))


def _part_files(artifact: Artifact) -> dict[str, bytes]:
    """`<part>.safetensors` of every part."""
    from safetensors.numpy import save  # noqa: PLC0415 - not needed to plan

    files: dict[str, bytes] = {}
    for name, weights in artifact.parts.items():
        if not _PART_NAME.match(name):
            raise ValueError(f"part name {name!r} is not a lower-case word")
        # keeps arrays without dimensions as they are, which ascontiguousarray would not
        arrays = {key: np.asarray(array, order="C") for key, array in weights.items()}
        files[f"{name}.safetensors"] = save(arrays)
    return files
