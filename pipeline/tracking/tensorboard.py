"""TensorBoard: event files, one folder a run."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from exporters.core.markdown import markdown_table
from pipeline.tracking.interface import Epoch, Results, TrackedRun, Tracker
from pipeline.tracking.names import file_name


class TensorBoard(Tracker):
    """Scalars by epoch, the recipe and the result as texts; figures are rounded to float32, as its scalars are.

    `track.artifacts` is of no effect: event files hold none.
    """

    def __init__(self, run: TrackedRun) -> None:
        super().__init__(run)
        self._folder = run.directory / "tensorboard"
        self._writer: Any = None
        self._there: Path | None = None
        self._known: set[tuple[str, int]] | None = None

    @property
    def place(self) -> str:
        """The folder of all runs."""
        return str(self._folder)

    @property
    def hint(self) -> str:
        """The command that shows them."""
        return f"tensorboard --logdir {quote(str(self._folder))}"

    def open(self, known: str | None) -> str:
        """Begin a folder, or go on in one that is still there."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        name = known if known is not None and (self._folder / known).is_dir() else self._new(known)
        self._there = self._folder / name
        self._writer = EventFileWriter(str(self._there))
        if name != known:
            self._text("recipe", "\n".join(markdown_table(("key", "value"), self.run.parameters.items(), 2)))
            self._text("run", "\n".join(markdown_table(("tag", "value"), self.run.tags.items(), 2)))
            self._hyperparameters(name)
        return name

    def _new(self, lost: str | None) -> str:
        """The run's name, with a number where the folder is another run's, or was that of the run that is lost."""
        label = file_name("-".join(filter(None, (self.run.settings.group, self.run.name))))
        names = (label if number == 1 else f"{label}-{number}" for number in range(1, 1_000_000))
        return next(name for name in names if name != lost and not (self._folder / name).exists())

    def has(self, epoch: Epoch) -> bool:
        """Whether all of its figures are in the folder's event files."""
        if self._known is None:
            assert self._there is not None
            self._known = _steps(self._there)
        return all((name, epoch.number) in self._known for name in epoch.values)

    def send(self, epochs: Sequence[Epoch], first: int) -> None:
        """Write scalars whose step is the epoch."""
        for epoch in epochs:
            self._scalars(epoch.values, epoch.number)
        self._writer.flush()

    def finish(self, results: Results) -> None:
        """Write final figures below `final/`, at step 0, and how the run stands."""
        self._scalars({f"final/{name}": value for name, value in results.values.items()}, 0)
        self._text("result", "\n\n".join(filter(None, (results.state, results.message))))
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        found = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._add(Summary(value=found), step)

    def _text(self, name: str, markdown: str) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(text_pb(name, markdown), 0)

    def _hyperparameters(self, name: str) -> None:
        """The recipe for the page that compares runs."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._add(hparams_pb(dict(self.run.parameters), trial_id=name), 0)

    def _add(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _steps(folder: Path) -> set[tuple[str, int]]:
    """Name and step of every scalar in a folder's event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {(name, event.step) for name in events.Tags()["scalars"] for event in events.Scalars(name)}
