"""What a trial is let see: the door to the data, and where its progress goes."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from registry.contracts import Domain, TestSplitClosedError
from registry.contracts.context import OpenSplit

#: What learning may see.
OPEN_SPLITS = ("train", "validation")
#: Audit event of every attempt to open another split; its arguments are the part and the split.
CLOSED_SPLIT_EVENT = "harness.closed_split"


class Door:
    """The door to one cohort, held by the engine.

    Strategies and tasks are given `learning_view`, which opens train and validation alone. Only the final
    stage calls `open_test`, once per trial, after fitting.

    Parameters
    ----------
    folder
        Where train and validation are; test records are elsewhere.
    test
        Where the test split is; `None` for trials that are given no way to it.
    """

    def __init__(self, domain: Domain, folder: Path, *, test: Path | None = None) -> None:
        self._domain = domain
        self._folder = folder
        self._test = test
        self.test_openings = 0

    @property
    def learning_view(self) -> OpenSplit:
        """The function that a trial's context carries; it holds no way to the test split."""
        domain, folder = self._domain, self._folder

        def open_split(part: str, split: str) -> Any:
            if split not in OPEN_SPLITS:
                sys.audit(CLOSED_SPLIT_EVENT, part, split)  # seen even where the error is caught
                raise TestSplitClosedError(
                    f"split {split!r} of part {part!r} is closed: learning sees {' and '.join(OPEN_SPLITS)}; "
                    "the engine opens the test split after fitting, in the final stage"
                )
            return domain.open_split(folder, part, split)

        return open_split

    def open_test(self, part: str) -> Any:
        """Open the test split of `part`; once.

        Raises
        ------
        TestSplitClosedError
            At the second call, and where there is no way to it.
        """
        if self._test is None:
            raise TestSplitClosedError("this trial was given no way to the test split")
        if self.test_openings:
            raise TestSplitClosedError("the test split of this trial has been opened already")
        self.test_openings += 1
        return self._domain.open_split(self._test, part, "test")


class ProgressLog:
    """Learning curves of one trial, and a sign of life at most once a second.

    Parameters
    ----------
    path
        The small file that the driver's display reads.
    """

    def __init__(self, path: Path, *, interval_seconds: float = 1.0) -> None:
        self.curves: list[tuple[int, str, float]] = []
        self._path = path
        self._interval_seconds = interval_seconds
        self._last = -math.inf

    def __call__(self, step: int, steps: int, **values: float) -> None:
        """Record `values` after `step` of `steps`."""
        numbers = {name: float(value) for name, value in values.items()}
        self.curves.extend((int(step), name, value) for name, value in numbers.items())
        now = time.monotonic()
        if now - self._last < self._interval_seconds and step < steps:
            return
        self._last = now
        sign = {"step": int(step), "steps": int(steps), "values": {k: f"{v:.4g}" for k, v in numbers.items()}}
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(sign))
        os.replace(partial, self._path)  # noqa: PTH105

    def clear(self) -> None:
        """Take the sign of life away: the trial is over."""
        self._path.unlink(missing_ok=True)


def read_sign_of_life(path: Path) -> dict[str, Any] | None:
    """The latest sign of life of a trial, if it gave one."""
    try:
        sign: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return sign
