"""What a tracker is: a place that is sent the figures of runs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.recipe.schema.track import TrackSettings

State = Literal["running", "shipped", "finished", "refused", "failed", "unfinished"]
"""How a run stands: `shipped` has its bundle, `finished` what was asked for; `refused` missed a gate, `failed` ended by
another error, `unfinished` was stopped."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run when it is first sent something.

    Attributes:
        name: for people.
        settings: the recipe's section `track`.
        project: the recipe's project, or its name.
        directory: where trackers keep files.
        parameters: dotted key of the recipe → its value as text.
        tags: such as version and commit.
    """

    name: str
    settings: TrackSettings
    project: str
    directory: Path
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training.

    Attributes:
        training: its name in `metrics.jsonl`.
        number: from 1.
        values: name → figure, the training's name among them: `distill/loss`.
        digest: of everything that does not differ between equal runs.
    """

    training: str
    number: int
    values: Mapping[str, float]
    digest: str = ""


@dataclass(frozen=True)
class Results:
    """What a run has come to.

    Attributes:
        state: how it stands.
        message: why it failed; empty else.
        values: name → figure, such as `student/test/top1`.
        files: name → file, of those that were asked for and that are there.
    """

    state: State
    message: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


class Tracker(ABC):
    """One place that is sent figures. Any method may raise any error: the run goes on, and the figures are sent later.

    What was sent stays: a tracker takes nothing back. Nothing is imported before `open`.

    Args:
        run: what is tracked.
    """

    def __init__(self, run: TrackedRun) -> None:
        self.run = run

    @property
    def off(self) -> bool:
        """Whether the environment says that nothing is to be sent."""
        return False

    @property
    @abstractmethod
    def place(self) -> str:
        """Where figures go, as one text without secrets; the same place is the same text."""

    @property
    @abstractmethod
    def hint(self) -> str:
        """How to look at them: a command, or where to go."""

    @abstractmethod
    def open(self, known: str | None) -> str:
        """Begin a run, or go on with one.

        Args:
            known: of an earlier `open`; None: there was none.

        Returns:
            What it is known by: `known`, unless the place has lost it.
        """

    @abstractmethod
    def has(self, epoch: Epoch) -> bool:
        """Whether the run that was gone on with has an epoch; asked where a process ended while it was sent."""

    @abstractmethod
    def send(self, epochs: Sequence[Epoch], first: int) -> None:
        """Send epochs, and return when they would survive the end of this process.

        Args:
            epochs: in their order.
            first: number of the first of them among all epochs of the run, from 1.
        """

    @abstractmethod
    def finish(self, results: Results) -> None:
        """Send what the run has come to, and say how it stands."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""
