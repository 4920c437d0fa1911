"""The error that a person can act on."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave cannot be used; the command line prints it and exits with status 2.

    Parameters
    ----------
    message
        What is wrong: the file, the field and the value.
    mend
        What to do about it, as an instruction.

    Examples
    --------
    >>> str(InputError("suite 'quik' is not known", mend="did you mean 'quick'?"))
    "suite 'quik' is not known; did you mean 'quick'?"
    """

    def __init__(self, message: str, *, mend: str) -> None:
        super().__init__(message, mend)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}; {self.mend}"

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a worker process: keyword arguments do not pickle by themselves."""
        return _rebuild_input_error, (type(self), self.message, self.mend)


class DataError(InputError):
    """A cohort or scan is corrupt, missing or leaks a patient between splits."""


class TestSplitClosedError(RuntimeError):
    """Test data were asked for before the final stage opened them."""

    __test__ = False  # not a test class, whatever its name begins with


def _rebuild_input_error(kind: type[InputError], message: str, mend: str) -> InputError:
    return kind(message, mend=mend)
