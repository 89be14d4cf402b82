"""Where the preparation of a data set reports what it does."""

from contextlib import AbstractContextManager
from typing import Protocol

from exporters.core.progress import Steps


class Reporter(Protocol):
    """Shows lines and progress; `pipeline.console.Console` is one."""

    def say(self, text: str) -> None:
        """Show a line."""

    def warn(self, text: str) -> None:
        """Show a line that must not be overlooked."""

    def track(self, description: str, total: int | None, *, unit: str = "") -> AbstractContextManager[Steps]:
        """Track work of `total` steps (None: not known), which are bytes where `unit` is `"bytes"`."""
