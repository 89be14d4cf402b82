"""Errors that a user is meant to read; each class carries the exit code of the command that meets it."""

from typing import Any


class TmkdError(Exception):
    """One clear message: what is wrong, where, and what to do about it.

    Args:
        message: what is wrong, naming the file or the key.
        remedy: what the reader can do, as one sentence or a command; shown on its own line.
        report: what had been found until then, for whoever catches it; None where there is nothing to report.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None, report: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.report = report

    def __str__(self) -> str:
        return self.message if self.remedy is None else f"{self.message}\n  {self.remedy}"


class UsageError(TmkdError):
    """A command line or a recipe that cannot be followed (exit 2)."""

    exit_code = 2


class GateError(TmkdError):
    """A check that failed, so that nothing ships (exit 3)."""

    exit_code = 3


class UnavailableError(TmkdError):
    """Something needed is missing or unusable on this machine: data, weights, a device, a package (exit 4)."""

    exit_code = 4


def message_of(error: BaseException) -> str:
    """What an error says in one line or more: the message of one that a user is meant to read, without its remedy."""
    return error.message if isinstance(error, TmkdError) else str(error)
