"""Tracking a run while it goes on, and sending again what a tracker lacks.

Both are the same work: what `metrics.jsonl` and the stages have is compared with what a tracker was sent.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from exporters import __version__
from exporters.core.errors import TmkdError, UnavailableError
from exporters.core.wording import count_of
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import digest
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.bundle import identity
from pipeline.tracking.figures import epochs_of, parameters_of
from pipeline.tracking.interface import Epoch, Results, TrackedRun
from pipeline.tracking.registry import require_installed
from pipeline.tracking.results import read_results, standing_records
from pipeline.tracking.sender import Sender

if TYPE_CHECKING:
    from pipeline.console import Console

FOLDER = "tracking"
"""In the run directory: what each tracker was sent, and by default the trackers' files."""


@contextmanager
def tracked(run: RunDirectory, recipe: Recipe, console: "Console", until: str | None = None) -> Iterator[None]:
    """A block whose trainings are sent to the recipe's trackers epoch by epoch, and its results at the end.

    A tracker that fails is reported once and tried once more at the end. No failure of a tracker ends the block.

    Args:
        run: the directory that the block works in.
        recipe: its recipe.
        console: for what a person should see.
        until: the stage that the block stops after; None: the last.

    Raises:
        UnavailableError: before the block: the package of a tracker is not installed.
    """
    if not recipe.track.to:
        yield
        return
    require_installed(recipe.track.to)
    tracking = _Tracking(run, recipe, console)
    with run.watched(tracking.epoch_done):
        try:
            yield
        finally:
            with suppress(_HeldError), _held(run):
                tracking.finish(until)


def resend(run: RunDirectory, recipe: Recipe, console: "Console", *, anew: bool = False) -> bool:
    """Send to the recipe's trackers what they lack of a run that does not go on at the moment.

    Args:
        run: its directory.
        recipe: its recipe, with the trackers.
        console: for what a person should see.
        anew: whether each tracker begins another run.

    Returns:
        Whether there was anything to send.

    Raises:
        UnavailableError: a package is not installed, the run goes on, or a tracker fails.
    """
    require_installed(recipe.track.to)
    with run.held():
        tracking = _Tracking(run, recipe, console)
        if anew:
            tracking.begin_anew()
        if lacking := tracking.replay():
            raise UnavailableError(
                "\n".join(lacking), remedy="What was sent is noted: the same command sends the rest."
            )
        return tracking.has_sent


class _HeldError(Exception):
    """The run directory is another process's by now."""


@contextmanager
def _held(run: RunDirectory) -> Iterator[None]:
    """Hold the directory, where it is there and nobody else holds it."""
    held = run.held()
    if not run.path.is_dir():
        raise _HeldError
    try:
        held.__enter__()
    except TmkdError as error:
        raise _HeldError from error
    try:
        yield
    finally:
        held.__exit__(None, None, None)


class _Tracking:
    """The trackers of one run."""

    def __init__(self, run: RunDirectory, recipe: Recipe, console: "Console") -> None:
        self._run = run
        self._recipe = recipe
        self._console = console
        described = describe(run, recipe)
        made = [Sender(name, described, recipe, run.path / FOLDER) for name in recipe.track.to]
        self._senders = [sender for sender in made if not sender.off]
        self._failed: dict[str, str] = {}
        self._trained: set[str] = set()
        self.has_sent = False

    def begin_anew(self) -> None:
        """Let each tracker begin another run."""
        for sender in self._senders:
            sender.begin_anew()

    def epoch_done(self, training: str, number: int) -> None:
        """Send an epoch whose line is in `metrics.jsonl`, and those of its training before."""
        self._trained.add(training)
        found = [each for each in self._epochs() if each.training == training and each.number <= number]
        for sender in self._senders:
            if sender.name not in self._failed:
                self._try(sender, lambda sender=sender: sender.send(found))  # type: ignore[misc]

    def finish(self, until: str | None) -> None:
        """Send what is missing, then what the run has come to; trackers that failed are tried once more."""
        records = standing_records(self._run, self._recipe)
        if not records:
            return
        done = {name for name, record in records.items() if record.status == "done"}
        epochs = [each for each in self._epochs() if _stage(each) in done or each.training in self._trained]
        results = read_results(self._run, self._recipe, records, until)
        for message in self._finish(epochs, results):
            self._console.warn(f"{message}. To send it: tmkd-pipeline track {quote(str(self._run.path))}")

    def replay(self) -> list[str]:
        """Send what is missing of all that the directory has; gives a sentence on each tracker that failed."""
        records = standing_records(self._run, self._recipe)
        epochs = [each for each in self._epochs() if _stage(each) in records]
        return self._finish(epochs, read_results(self._run, self._recipe, records))

    def _finish(self, epochs: Sequence[Epoch], results: Results) -> list[str]:
        lacking = []
        for sender in self._senders:
            if sender.name in self._failed:
                self._close(sender)
            sent = bool(sender.missing(epochs)) or sender.needs(results)
            failure = self._attempt(lambda sender=sender: self._complete(sender, epochs, results))  # type: ignore[misc]
            self._close(sender)
            if failure is not None:
                lacking.append(self._describe(sender, epochs, failure))
            elif sent or sender.name in self._failed:
                self.has_sent = True
                self._console.say(f"{sender.name}: {sender.hint}")
        return lacking

    @staticmethod
    def _complete(sender: Sender, epochs: Sequence[Epoch], results: Results) -> None:
        sender.send(epochs)
        sender.finish(results)

    def _try(self, sender: Sender, work: Callable[[], None]) -> None:
        failure = self._attempt(work)
        if failure is not None:
            self._failed[sender.name] = failure
            self._console.warn(f"track: {sender.name} failed, and the run goes on without it: {failure}")

    @staticmethod
    def _attempt(work: Callable[[], None]) -> str | None:
        """What failed, in one line; None where nothing did."""
        try:
            work()
        except Exception as error:  # of any library, server or disk: none is worth a run
            text = error.message if isinstance(error, TmkdError) else f"{type(error).__name__}: {error}"
            return " ".join(text.split())[:300]
        return None

    def _close(self, sender: Sender) -> None:
        with suppress(Exception):  # what it was to be sent is known
            sender.close()

    def _describe(self, sender: Sender, epochs: Sequence[Epoch], failure: str) -> str:
        missing = sender.missing(epochs)
        what = f"lacks {count_of(len(missing), 'epoch')} and the results" if missing else "lacks the results"
        first = f", from {missing[0].training} {missing[0].number} on" if missing else ""
        return f"track: {sender.name} {what}{first}: {failure}"

    def _epochs(self) -> list[Epoch]:
        return epochs_of(self._run.path / "metrics.jsonl")


def describe(run: RunDirectory, recipe: Recipe) -> TrackedRun:
    """What trackers are told of a run."""
    track = recipe.track
    return TrackedRun(
        name=track.name or run.path.absolute().name,
        settings=track,
        project=track.project or recipe.name,
        directory=Path(track.directory) if track.directory is not None else run.path / FOLDER,
        parameters=parameters_of(recipe),
        tags=_tags(recipe),
    )


def _tags(recipe: Recipe) -> Mapping[str, str]:
    tags = {"version": __version__, "recipe_name": recipe.name, "recipe_sha256": digest(identity(recipe))}
    if recipe.track.group is not None:
        tags["group"] = recipe.track.group
    if commit := _commit():
        tags["commit"] = commit
    return tags


def _commit() -> str | None:
    """The commit of the working directory; None where there is none, or no git."""
    try:
        done = subprocess.run(
            ("git", "rev-parse", "HEAD"),  # noqa: S607 (whichever git the user has)
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.strip() or None


def _stage(epoch: Epoch) -> str:
    """The stage that a training belongs to."""
    return epoch.training.partition("/")[0]
