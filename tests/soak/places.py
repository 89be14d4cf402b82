"""Where a command can be killed: in which stage, at what kind of moment; and killing it there."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporters.core.files import read_json
from tests.soak.attempts import Attempt
from tests.soak.outcomes import place_of

AT_RANDOM, IN_AN_EPOCH, WHILE_WRITING = "at random", "in an epoch", "while writing"
EXPORT = "export"
"""In the place of a record: the command of that name, whose folder has none."""

_POLL = 0.001
_LATER = 0.03
_MOST_FILES = 4


@dataclass(frozen=True)
class Place:
    """Where to kill.

    Attributes:
        command: its name.
        record: path of a stage's record in the folder of the command, or `EXPORT`.
        moment: `AT_RANDOM`: when the stage has taken a random part of the processor time that it takes undisturbed;
            `IN_AN_EPOCH`: when the state of a training within a random epoch is saved, or a moment later;
            `WHILE_WRITING`: when one of its files is being written, or a moment later.
    """

    command: str
    record: str
    moment: str

    def __str__(self) -> str:
        return f"{self.command}: {self.record.replace('stages/', '').removesuffix('.json')} {self.moment}"

    def stage(self, folder: Path) -> Path:
        """The folder that the stage writes; for `EXPORT` that of the command."""
        return folder if self.record == EXPORT else (folder / self.record).parent.parent / Path(self.record).stem


@dataclass(frozen=True)
class Aim:
    """A place, and what is drawn for a kill there.

    Attributes:
        place: where.
        seconds: of processor time after the stage has begun, for `AT_RANDOM`.
        epoch: in which, from 0, for `IN_AN_EPOCH`.
        files: how many are begun, for `WHILE_WRITING`.
        later: seconds of a clock that it may still run once that is seen.
    """

    place: Place
    seconds: float
    epoch: int
    files: int
    later: float


def aim(place: Place, seconds: float, epochs: int, draws: random.Random, *, soon: bool = False) -> Aim:
    """Draw a moment.

    Args:
        place: where.
        seconds: of processor time that the stage takes.
        epochs: of its training; 0: it trains nothing.
        draws: source of randomness.
        soon: draw an early moment, after later ones have come too late.
    """
    part = draws.uniform(0, 0.3 if soon else 1)
    epoch, files = draws.randrange(max(epochs, 1)), draws.randint(1, _MOST_FILES)
    later = draws.choice((0.0, draws.uniform(0, _LATER)))
    return Aim(place, part * seconds, 0 if soon else epoch, 1 if soon else files, 0.0 if soon else later)


def kill_at(aimed: Aim, attempt: Attempt, folder: Path) -> bool:
    """Kill an attempt there, or where the stage ends before; False where the attempt has ended by itself."""
    place = aimed.place
    while attempt.is_running() and not _has_begun(place, folder, attempt.started):
        time.sleep(_POLL)
    reached = {AT_RANDOM: _ran_for, IN_AN_EPOCH: _reached_epoch, WHILE_WRITING: _began_files}[place.moment](
        aimed, attempt, folder
    )
    while attempt.is_running() and not is_done(place, folder):
        if reached():
            attempt.go_on()
            time.sleep(aimed.later)
            break
        time.sleep(_POLL)
    if not attempt.is_running():
        return False
    attempt.kill()
    return True


def found(place: Place, folder: Path) -> dict[str, Any] | None:
    """What a kill has left, where it came at that place; else None.

    Returns:
        For `IN_AN_EPOCH`: `epoch`, how many were done, and `step`, how many of the next; otherwise nothing more.
    """
    exporting = place.record == EXPORT
    if not (any(folder.glob(".export-*")) if exporting else _is(folder / place.record, "running")):
        return None
    if place.moment == WHILE_WRITING:
        return {} if any(_temporaries(place.stage(folder))) else None
    if place.moment == IN_AN_EPOCH:
        epoch, step = _newest_state(place.stage(folder))
        return {"epoch": epoch, "step": step} if step > 0 else None
    return {}


def is_done(place: Place, folder: Path) -> bool:
    """Whether the stage has ended."""
    if place.record == EXPORT:
        return (folder / "parity.json").is_file()
    return _is(folder / place.record, "done")


def _ran_for(aimed: Aim, attempt: Attempt, _folder: Path) -> Callable[[], bool]:
    end = attempt.seconds + aimed.seconds
    return lambda: attempt.seconds >= end


def _reached_epoch(aimed: Aim, attempt: Attempt, folder: Path) -> Callable[[], bool]:
    stage = aimed.place.stage(folder)
    last: list[tuple[str, int]] = []

    def reached() -> bool:
        nonlocal last
        if _states(stage) == last:
            return False
        attempt.stop()  # so that it does not train on while its state is read
        last = _states(stage)
        epoch, step = _newest_state(stage)
        if epoch >= aimed.epoch and step > 0:
            return True
        attempt.go_on()
        return False

    return reached


def _began_files(aimed: Aim, _attempt: Attempt, folder: Path) -> Callable[[], bool]:
    stage = aimed.place.stage(folder)
    seen: set[str] = set(map(str, _temporaries(stage)))  # left by an earlier kill

    def reached() -> bool:
        new = set(map(str, _temporaries(stage))) - seen
        if not new:
            return False
        seen.update(new)
        return len(seen) >= aimed.files

    return reached


def _states(stage: Path) -> list[tuple[str, int]]:
    """Something that changes with each saved state of the stage's trainings."""
    states = []
    for path in stage.rglob("checkpoint.pt"):
        with suppress(FileNotFoundError):
            states.append((str(path), path.stat().st_ino))
    return states


def _newest_state(stage: Path) -> tuple[int, int]:
    """Epochs that are done, and steps of the next, of the state that was saved last; (0, 0) where there is none."""
    paths = []
    for path in stage.rglob("checkpoint.pt"):
        with suppress(FileNotFoundError):
            paths.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(paths, reverse=True):
        with suppress(FileNotFoundError):
            return place_of(path)
    return 0, 0


def _has_begun(place: Place, folder: Path, since: float) -> bool:
    """Whether a stage is done, or was begun or taken up again since then."""
    record = folder / place.record
    try:
        if place.record == EXPORT:
            return any(path.stat().st_mtime >= since for path in folder.glob(".export-*"))
        return _is(record, "done") or (record.stat().st_mtime >= since and _is(record, "running"))
    except FileNotFoundError:
        return False


def _is(record: Path, status: str) -> bool:
    try:
        return bool(read_json(record)["status"] == status)
    except (OSError, ValueError, KeyError):
        return False


def _temporaries(stage: Path) -> Iterator[Path]:
    """What is being written for a stage, or in the folder of an export."""
    with suppress(FileNotFoundError):  # a folder was placed or removed meanwhile: it is looked at again soon
        for folder in (stage, *stage.glob("*"), *stage.glob(".export-*/*")):
            yield from folder.glob(".*.tmp*")
        yield from stage.parent.glob(".*.tmp*")
