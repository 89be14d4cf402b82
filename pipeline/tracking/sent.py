"""What a tracker has been sent: `tracking/<tracker>.json` in the run directory."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from exporters.core.files import read_json, write_json
from pipeline.tracking.interface import Epoch


@dataclass
class Sent:
    """What the run of a tracker has.

    Attributes:
        identity: digest of recipe and place; another one calls for another run of the tracker.
        run: what the tracker knows its run by; None before the first.
        epochs: training → number of the epoch as text → its digest.
        pending: of the same form: epochs on their way when this was written.
        results: digest of the results that it has; empty: none.
    """

    identity: str = ""
    run: str | None = None
    epochs: dict[str, dict[str, str]] = field(default_factory=dict)
    pending: dict[str, dict[str, str]] = field(default_factory=dict)
    results: str = ""

    @classmethod
    def read(cls, path: Path) -> "Sent":
        """What the file says; nothing where there is none that can be read."""
        try:
            found = cls(**read_json(path))
            tables = [*found.epochs.values(), *found.pending.values()]
            texts = [found.identity, found.results, *(text for table in tables for text in table.values())]
            whole = all(isinstance(text, str) for text in texts) and isinstance(found.run, str | None)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return cls()
        return found if whole else cls()

    def write(self, path: Path) -> None:
        """Replace the file.

        Raises:
            WriteError: it cannot be written.
        """
        values: dict[str, Any] = asdict(self)
        write_json(path, values)

    @property
    def count(self) -> int:
        """Of epochs."""
        return sum(map(len, self.epochs.values()))

    def has(self, epoch: Epoch) -> bool:
        """Whether an epoch of this training and number was sent."""
        return str(epoch.number) in self.epochs.get(epoch.training, {})

    def contradicts(self, epoch: Epoch) -> bool:
        """Whether an epoch was sent with other figures than these."""
        return self.has(epoch) and self.epochs[epoch.training][str(epoch.number)] != epoch.digest

    def expect(self, epochs: Sequence[Epoch]) -> None:
        """Note epochs that are about to be sent."""
        self.pending = {}
        for epoch in epochs:
            self.pending.setdefault(epoch.training, {})[str(epoch.number)] = epoch.digest

    def add(self, epoch: Epoch) -> None:
        """Note an epoch that was sent."""
        self.epochs.setdefault(epoch.training, {})[str(epoch.number)] = epoch.digest
