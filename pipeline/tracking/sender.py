"""Sending the figures of a run to one tracker, each of them once."""

from collections.abc import Sequence
from pathlib import Path

from exporters.core.files import sha256_file
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import digest
from pipeline.tracking.figures import identity_of
from pipeline.tracking.interface import Epoch, Results, TrackedRun
from pipeline.tracking.registry import make_tracker
from pipeline.tracking.sent import Sent

_AT_ONCE = 200
"""Epochs that are noted as sent together."""


class Sender:
    """One tracker of one run, and what it has been sent; opened when there is something to send.

    A tracker's run holds the figures of one recipe at one place. With another recipe, or where an epoch that was sent
    has other figures now, another run of the tracker begins, because trackers take nothing back.

    Args:
        name: of the tracker.
        run: what is tracked.
        recipe: its recipe.
        notes: the folder where it is noted what was sent.
    """

    def __init__(self, name: str, run: TrackedRun, recipe: Recipe, notes: Path) -> None:
        self.name = name
        self._run = run
        self._tracker = make_tracker(name, run)
        self._notes = notes / f"{name}.json"
        self._identity = identity_of(recipe, self._tracker.place)
        self._sent = Sent.read(self._notes)
        self._is_open = False
        if self._sent.identity != self._identity:
            self.begin_anew()

    @property
    def hint(self) -> str:
        """How to look at what was sent."""
        return self._tracker.hint

    @property
    def off(self) -> bool:
        """Whether the environment says that nothing is to be sent."""
        return self._tracker.off

    def begin_anew(self) -> None:
        """Forget the tracker's run: what is sent next goes to another one."""
        self.close()
        self._sent = Sent(identity=self._identity)

    def missing(self, epochs: Sequence[Epoch]) -> list[Epoch]:
        """Those that the tracker does not have."""
        return [epoch for epoch in epochs if not self._sent.has(epoch)]

    def send(self, epochs: Sequence[Epoch]) -> None:
        """Send the epochs that the tracker does not have; where it has one with other figures, all of them anew.

        Raises:
            Exception: of the tracker, whatever it is; what was sent before is noted.
        """
        if any(self._sent.contradicts(epoch) for epoch in epochs):
            self.begin_anew()
        if not self.missing(epochs):
            return
        self._open()
        waiting = [epoch for epoch in self.missing(epochs) if not self._arrived(epoch)]
        for begin in range(0, len(waiting), _AT_ONCE):
            part = waiting[begin : begin + _AT_ONCE]
            self._sent.expect(part)
            self._note()
            self._tracker.send(part, self._sent.count + 1)
            for epoch in part:
                self._sent.add(epoch)
            self._sent.expect(())
            self._note()

    def _arrived(self, epoch: Epoch) -> bool:
        """Whether an epoch was sent by a process that ended before it could note it."""
        pending = self._sent.pending.get(epoch.training, {}).get(str(epoch.number))
        if pending != epoch.digest or not self._tracker.has(epoch):
            return False
        self._sent.add(epoch)
        return True

    def needs(self, results: Results) -> bool:
        """Whether the tracker does not have these results."""
        return self._sent.results != _digest(results)

    def finish(self, results: Results) -> None:
        """Send what the run has come to, unless the tracker has it.

        Raises:
            Exception: of the tracker, whatever it is.
        """
        if self.needs(results):
            self._open()
        if self._is_open:
            self._tracker.finish(results)
            self._sent.results = _digest(results)
            self._note()

    def close(self) -> None:
        """Let go of the tracker, which may have failed."""
        if self._is_open:
            self._is_open = False
            self._tracker.close()
        self._tracker = make_tracker(self.name, self._run)

    def _open(self) -> None:
        if self._is_open:
            return
        self._is_open = True  # also where it fails halfway, so that it is closed
        run = self._tracker.open(self._sent.run)
        if run != self._sent.run:
            self._sent = Sent(identity=self._identity, run=run)
            self._note()

    def _note(self) -> None:
        self._sent.write(self._notes)


def _digest(results: Results) -> str:
    files = {name: sha256_file(path) for name, path in results.files.items()}
    return digest([results.state, results.message, {**results.values}, files])[:16]
