"""The error of a run folder that cannot be read."""

from __future__ import annotations


class RecordsError(Exception):
    """A record of the run is missing, corrupt or contradicts another one.

    Parameters
    ----------
    message
        What is wrong: the file, the field and the value.
    mend
        What to do about it, as an instruction.

    Examples
    --------
    >>> str(RecordsError("run.json is missing", mend="give the folder of a run"))
    'run.json is missing; give the folder of a run'
    """

    def __init__(self, message: str, *, mend: str) -> None:
        super().__init__(message, mend)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}; {self.mend}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.message, self.mend)


def _rebuild(message: str, mend: str) -> RecordsError:
    return RecordsError(message, mend=mend)
