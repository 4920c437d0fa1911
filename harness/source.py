"""Which version of the code works here, where it is a checkout."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=1)
def source_commit(root: Path = _ROOT) -> str | None:
    """The commit of the checkout that the code runs from, and whether its files differ from it.

    Returns
    -------
    str or None
        For instance `"3f2a... with changes"`; `None` where the code is installed or git is not there. A
        checkout that merely holds the environment in which the code is installed does not count.
    """
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return None
    return f"{commit} with changes" if changed else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - words of this module and a path
            ["git", "-C", str(root), *arguments],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
