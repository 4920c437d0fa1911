"""One line of the conformance suite's verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "failed", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    subject
        The strategy or task that was checked.
    check
        What it should do.
    state
        `not applicable` says in `detail` why nothing could be tried.
    detail
        What was seen.
    mend
        What to change, where it failed.
    """

    subject: str
    check: str
    state: State
    detail: str
    mend: str = ""

    @property
    def failed(self) -> bool:
        """Whether something has to be changed."""
        return self.state == "failed"


class Findings(list[Finding]):
    """The findings about one subject, in the order of the checks."""

    def __init__(self, subject: str) -> None:
        super().__init__()
        self.subject = subject

    def judge(self, check: str, kept: bool, *, seen: str, otherwise: str = "", mend: str) -> bool:
        """Add what `check` found and return `kept`; `otherwise` tells what was seen where it failed."""
        if kept:
            self.append(Finding(self.subject, check, "ok", seen))
        else:
            self.append(Finding(self.subject, check, "failed", otherwise or seen, mend))
        return kept

    def leave_out(self, check: str, reason: str) -> None:
        """Add that `check` could not be tried."""
        self.append(Finding(self.subject, check, "not applicable", reason))
