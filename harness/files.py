"""Canonical text, identities and writes that are whole or absent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry.contracts import InputError

#: What a storage that cannot take one more byte answers.
STORAGE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
#: What the system answers where writing is not allowed; in code of others it may mean anything.
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
#: Names the folder of cohorts and weights.
CACHE_VARIABLE = "HARNESS_CACHE"
#: Ends the name of a folder that is being written.
PARTIAL = ".partial"


class StorageError(InputError):
    """The disk is full or read-only; whatever was finished before is kept."""


def canonical_json(value: Any) -> str:
    """The one text of `value`: sorted keys, no white space, sets as sorted lists.

    Raises
    ------
    TypeError
        If `value` holds something that JSON has no word for.
    ValueError
        If it holds a number that is not finite.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": frozenset({"y", "x"})})
    '{"a":["x","y"],"b":1}'
    """
    return _CANONICAL.encode(value)


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical text of `value`, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def default_cache() -> Path:
    """`$HARNESS_CACHE`, else the user's cache folder: on this machine, whichever node it is."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pretraining-harness"


def utc_now() -> str:
    """The time as records write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader finds the old file or the new one, never a part.

    Raises
    ------
    StorageError
        If the disk is full or read-only; nothing is left behind.
    """
    with storage_guard(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # opened by name, not by `tempfile`, so that the reader of a shared folder may read it
        partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def append_line(path: Path, value: Any, *, sync: bool = False) -> None:
    """Append `value` as one line of canonical JSON, at once, so that several processes may share a file.

    Parameters
    ----------
    sync
        Whether to wait until it is on disk.
    """
    with storage_guard(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, f"{canonical_json(value)}\n".encode())
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN becomes null."""
    text = json.dumps(finite_or_none(value), indent=1, ensure_ascii=False, allow_nan=False, default=_plain)
    write_atomically(path, (text + "\n").encode())


def write_folder(destination: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` as the folder `destination`, whole or not at all; one that exists already stays.

    Raises
    ------
    StorageError
        If the disk is full or read-only; nothing is left behind.
    """
    if destination.is_dir():
        return
    partial = destination.parent / f".{destination.name}.{os.getpid()}{PARTIAL}"
    with storage_guard(destination):
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name, content in files.items():
                with (partial / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            sync_folder(partial)
            _move_into_place(partial, destination)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync_folder(destination.parent)


def copy_folder(source: Path, destination: Path, **replaced: bytes) -> None:
    """Copy a folder of results, whole or not at all; `replaced` gives other contents by file stem."""
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    files.update({name: content for name in files if (content := replaced.get(Path(name).stem)) is not None})
    write_folder(destination, files)


def _move_into_place(partial: Path, destination: Path) -> None:
    try:
        partial.rename(destination)
    except OSError:
        if not destination.is_dir():  # somebody else wrote the same content first: theirs is as good
            raise
        shutil.rmtree(partial)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def storage_guard(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into one message a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in STORAGE_ERRORS | FORBIDDEN:
            raise storage_error(error, path) from error
        raise


def storage_error(error: OSError, path: Path | None = None) -> StorageError:
    """The message for a disk that takes no more."""
    place = error.filename or path or "the disk"
    if error.errno in FORBIDDEN:
        return StorageError(
            f"{place} cannot be written: {os.strerror(error.errno)}",
            mend="let this user write there, or choose another --output or --cache",
        )
    return StorageError(
        f"{place} cannot be written: {os.strerror(error.errno or errno.ENOSPC)}",
        mend="free some space (or choose another --output or --cache) and give the same command again; "
        "finished trials are kept",
    )


def storage_failure_in(error: BaseException) -> OSError | None:
    """The full-disk error that caused `error`, if one did."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in STORAGE_ERRORS:
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def finite_or_none(value: Any) -> Any:
    """A copy of `value` in which numbers that are not finite are `None`, as JSON demands."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): finite_or_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be written as JSON")


#: One encoder for all: a plan hashes tens of thousands of specifications.
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
)
