"""A cohort without its test records: what workers are given that pretrain, tune and fit.

The files of a test split are left out of a folder of links. So a learning worker receives no path, handle or
index of test records, and code that walks through the folder it reads from finds none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.files import PARTIAL, storage_guard
from registry.contracts import Domain


def learning_view(domain: Domain, cohort: Path, *, fingerprint: str, cache: Path) -> Path:
    """The folder of a cohort's learning files; made, or made anew, where it is not as it should be.

    Parameters
    ----------
    cohort
        The folder of the whole cohort, verified.
    fingerprint
        Of the cohort.
    """
    view = cache / "learning" / fingerprint[:16]
    files = domain.learning_files(cohort)
    if _is_as_wanted(view, files):
        return view
    partial = view.with_name(f".{view.name}.{os.getpid()}{PARTIAL}")
    with storage_guard(view):
        shutil.rmtree(partial, ignore_errors=True)
        for name, content in files.items():
            _place(partial / name, content)
        shutil.rmtree(view, ignore_errors=True)
        try:
            partial.rename(view)
        except OSError:  # another run was faster
            shutil.rmtree(partial, ignore_errors=True)
            if not _is_as_wanted(view, files):
                raise
    return view


def _place(path: Path, content: Path | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    try:
        path.hardlink_to(content)
    except OSError:  # on another file system, or one without links
        shutil.copy2(content, path)


def _is_as_wanted(view: Path, files: Mapping[str, Path | bytes]) -> bool:
    if not view.is_dir():
        return False
    found = {path.relative_to(view).as_posix(): path for path in view.rglob("*") if path.is_file()}
    return found.keys() == files.keys() and all(_same(found[name], files[name]) for name in files)


def _same(path: Path, wanted: Path | bytes) -> bool:
    if isinstance(wanted, bytes):
        return path.read_bytes() == wanted
    here, there = path.stat(), wanted.stat()
    if here.st_ino == there.st_ino and here.st_dev == there.st_dev:
        return True
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)
