"""What preparing a data set tells, in the terms of whoever shows it."""

from contextlib import AbstractContextManager
from typing import Protocol


class Steps(Protocol):
    """One tracked piece of work."""

    def advance(self, steps: int = 1) -> None:
        """Count bytes or images done."""


class Teller(Protocol):
    """Shows lines and progress; `pipeline.console.Console` is one."""

    def say(self, text: str) -> None:
        """Show a line."""

    def warn(self, text: str) -> None:
        """Show a line that must not be overlooked."""

    def track(self, description: str, total: int | None, *, unit: str = "") -> AbstractContextManager[Steps]:
        """Track work of `total` steps (None: not known), which are bytes where `unit` is `"bytes"`."""
