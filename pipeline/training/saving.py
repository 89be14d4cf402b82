"""When a training saves its state: after each epoch, every few minutes within one, and where it is asked to end."""

import time
from typing import TYPE_CHECKING

from exporters.core.interrupts import DeferredInterrupt
from pipeline.distributed.collectives import of_all, process_count, process_number
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.meters import EpochMeters
from pipeline.training.state import Progress, Trained
from pipeline.training.step import Training

if TYPE_CHECKING:
    from pipeline.console import Console

_EXCHANGE_SECONDS = 1.0
"""Between two exchanges of several processes on whether to save or to end; each makes them wait for each other."""
_EXCHANGE_STEPS = 1000


class Saver:
    """Saves the state of a training between two steps of the optimizer, and ends it there where a signal asks for it.

    Of several processes the first one saves, at a step on which all agree: its clock decides when, and a signal that
    any of them has received ends all.

    Args:
        training: what is trained.
        trained: its state.
        progress: how far it is; changed by the loop.
        checkpoint: where the state goes.
        interrupt: a signal that waits for the end of a step.
        console: says that the training ends.
    """

    def __init__(
        self,
        training: Training,
        trained: Trained,
        progress: Progress,
        checkpoint: Checkpoint,
        interrupt: DeferredInterrupt,
        console: "Console",
    ) -> None:
        self._training = training
        self._trained = trained
        self._progress = progress
        self._checkpoint = checkpoint
        self._interrupt = interrupt
        self._console = console
        self._saved = self._exchanged = time.monotonic()
        self._steps_between = self._steps_left = 1

    @property
    def is_interrupted(self) -> bool:
        """Whether this process has received a signal that asks it to end."""
        return self._interrupt.number != 0

    def after_step(self, step: int, meters: EpochMeters) -> None:
        """Save where it is time, and end where a signal asks for it; between two steps of the optimizer.

        Args:
            step: batches of this epoch that are done.
            meters: of these.

        Raises:
            KeyboardInterrupt: a signal asked for it; the state is saved.
            WriteError: the state cannot be written.
        """
        every = self._checkpoint.every_seconds
        is_due = every is not None and time.monotonic() - self._saved >= every
        is_due, number = self._agreed(is_due)
        if not is_due and not number:
            return
        with meters.part("checkpoint"):
            self._progress.step = step
            self._save(meters)
        if number:
            self._end(number)

    def after_epoch(self) -> None:
        """Save the state; `end_if_asked` comes once the epoch is logged.

        Raises:
            WriteError: the state cannot be written.
        """
        self._save(None)

    def end_if_asked(self) -> None:
        """End where a signal asks for it; the state is saved.

        Raises:
            KeyboardInterrupt: a signal asked for it.
        """
        self._steps_left = 1
        if number := self._agreed(False)[1]:
            self._end(number)

    def _save(self, meters: EpochMeters | None) -> None:
        commit = getattr(self._training.teacher, "commit", None)
        if commit is not None:
            # What the teacher said of the steps so far would not be computed again, or in other batches.
            commit()
        snapshot = self._trained.state_dict(self._progress, meters)
        if process_number() == 0:
            self._checkpoint.save(snapshot)
        self._saved = time.monotonic()

    def _agreed(self, is_due: bool) -> tuple[bool, int]:
        """Whether to save now, and the signal that asks all processes to end, 0 for none."""
        number = self._interrupt.number
        if process_count() == 1:
            return is_due, number
        self._steps_left -= 1
        if self._steps_left > 0:
            return False, 0
        now = time.monotonic()
        pace = self._steps_between * _EXCHANGE_SECONDS / max(now - self._exchanged, 1e-3)
        self._exchanged = now
        asked = of_all((is_due, number, max(1, min(_EXCHANGE_STEPS, int(pace)))))
        self._steps_between = self._steps_left = asked[0][2]
        return asked[0][0], max(each[1] for each in asked)

    def _end(self, number: int) -> None:
        epochs, step = self._progress.place
        within = f" and {step} of {self._training.steps_per_epoch} steps of the next" if step else ""
        self._console.say(f"{self._training.name}: asked to end; the state after epoch {epochs}{within} is saved")
        self._interrupt.raise_now(number)
