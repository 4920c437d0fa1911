"""An object store by URI: what the nodes of a cluster hand to each other where they share no folder.

A bundle of files is one object that begins with the SHA-256 of the rest, written by one PUT: a reader finds
it whole or not at all, and knows when it was damaged. A folder too large for that is one object per file and
an index, written last.

The URI and the credentials are those of fsspec (`s3://bucket/prefix`, `gs://...`, `memory://...`): each
store's own environment variables, for S3 `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL` and their like.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.files import PARTIAL, canonical_json, sync_folder
from registry.contracts import DataError, InputError

INDEX = "index.json"
_DIGEST_LENGTH = 64
_CHUNK_BYTES = 2**22


class ObjectStore:
    """Bundles and folders under one URI.

    Parameters
    ----------
    uri
        As fsspec reads it.

    Raises
    ------
    InputError
        If the URI cannot be used: an unknown protocol, or the package that speaks it is missing.

    Examples
    --------
    >>> store = ObjectStore("memory://example")
    >>> store.put("a/b", {"x.txt": b"hello"})
    >>> store.get("a/b"), store.names("a")
    ({'x.txt': b'hello'}, {'b'})
    """

    def __init__(self, uri: str) -> None:
        import fsspec  # noqa: PLC0415 - only where a store is used

        self.uri = uri.rstrip("/")
        if "://" not in self.uri:
            raise InputError(f"storage {uri!r} is no URI", mend="write it like s3://bucket/prefix")
        try:
            # listings are never kept: other processes write here too
            self._files, self._root = fsspec.core.url_to_fs(self.uri, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise InputError(
                f"storage {uri!r} cannot be used: {error}",
                mend="install what its protocol needs, as `pip install s3fs` for s3://, on every node",
            ) from error

    def check(self) -> None:
        """Write, read and delete a small object.

        Raises
        ------
        InputError
            If one of these fails.
        """
        try:
            self.put("check", {"check": b"check"})
            if self.get("check") != {"check": b"check"}:
                raise OSError("what was written came back different")
            self.remove("check")
        except Exception as error:
            raise InputError(
                f"storage {self.uri} does not answer: {type(error).__name__}: {error}",
                mend="check the URI, the credentials and the network",
            ) from error

    def put(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a bundle in one piece."""
        self._files.pipe_file(self._place(name), pack(files))

    def get(self, name: str) -> dict[str, bytes] | None:
        """Read a bundle; `None` if there is none.

        Raises
        ------
        DataError
            If it is not what was written.
        """
        try:
            content = self._files.cat_file(self._place(name))
        except FileNotFoundError:
            return None
        return unpack(content, source=f"{self.uri}/{name}")

    def has(self, name: str) -> bool:
        """Whether there is a bundle of this name."""
        return bool(self._files.exists(self._place(name)))

    def names(self, prefix: str) -> set[str]:
        """The bundles below `prefix`."""
        try:
            return {
                str(path).rpartition("/")[2] for path in self._files.ls(self._place(prefix), detail=False)
            }
        except FileNotFoundError:
            return set()

    def remove(self, name: str) -> None:
        """Delete a bundle."""
        self._files.rm_file(self._place(name))

    def put_folder(self, name: str, folder: Path) -> None:
        """Write a folder file by file, then its index; nothing if it is there already."""
        if self.has(f"{name}/{INDEX}"):
            return
        index: dict[str, Any] = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            relative = path.relative_to(folder).as_posix()
            index[relative] = file_digest(path)
            self._files.put_file(str(path), self._place(f"{name}/files/{relative}"))
        self._files.pipe_file(self._place(f"{name}/{INDEX}"), canonical_json(index).encode())

    def get_folder(self, name: str, destination: Path) -> None:
        """Bring a folder here, whole or not at all, every file checked.

        Raises
        ------
        DataError
            If it is not there, or a file is not what was written.
        """
        try:
            index = json.loads(self._files.cat_file(self._place(f"{name}/{INDEX}")))
        except FileNotFoundError as error:
            raise DataError(f"{self.uri}/{name} is not there", mend="start the run again") from error
        partial = destination.with_name(f".{destination.name}{PARTIAL}")
        shutil.rmtree(partial, ignore_errors=True)
        for relative, digest in index.items():
            path = partial / relative
            if not path.resolve().is_relative_to(partial.resolve()):
                raise DataError(f"{self.uri}/{name}: {relative!r} leaves its folder", mend="delete it there")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files.get_file(self._place(f"{name}/files/{relative}"), str(path))
            if file_digest(path) != digest:
                raise DataError(
                    f"{self.uri}/{name}/files/{relative} has not its SHA-256",
                    mend=f"delete {self.uri}/{name} and run again: it is written anew",
                )
        partial.rename(destination)
        sync_folder(destination.parent)

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"


def pack(files: Mapping[str, bytes]) -> bytes:
    """Files as one text of bytes that begins with the SHA-256 of the rest; equal files give equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    body = buffer.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpack(content: bytes, *, source: str) -> dict[str, bytes]:
    """The files that `pack` was given; `source` names the bundle in errors.

    Raises
    ------
    DataError
        If a byte has changed.
    """
    digest, body = content[:_DIGEST_LENGTH], content[_DIGEST_LENGTH + 1 :]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise DataError(f"{source} has not the SHA-256 it begins with", mend="it is made anew")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        for entry in archive:
            reader = archive.extractfile(entry)
            if reader is None or "/" in entry.name or entry.name in ("", ".", ".."):
                raise DataError(
                    f"{source} holds {entry.name!r}, which is no plain file", mend="delete it there"
                )
            files[entry.name] = reader.read()
    return files


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
