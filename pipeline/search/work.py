"""Doing the trials of a search: which come next, training them in ordinary run directories, and measuring the files."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.artifacts.kinds import file_of
from exporters.artifacts.status import Status
from exporters.core.errors import GateError
from exporters.core.files import read_json
from exporters.core.wording import count_of
from pipeline.comparison.planned import CACHE, folder_name
from pipeline.preflight import Preflight
from pipeline.runner.engine import execute
from pipeline.runner.rundir import RunDirectory
from pipeline.search.halving import Costs, survivors
from pipeline.search.journal import Done, Journal, Result
from pipeline.search.measuring import Measured, measured
from pipeline.search.space import Asked, Training
from pipeline.stages.registry import STAGES
from pipeline.stages.shared.history import chosen_score

if TYPE_CHECKING:
    from pipeline.console import Console

PREPARED, RUNS = "prepared", "runs"
LAST_SHARED, LAST_OF_A_RUNG, LAST = "fusion", "distill", "parity"
_SHIPS = (Status.SHIPPED, Status.NOT_USEFUL)
_WAIT = 1.0  # seconds between looks at what other processes do


def racing(asked: Asked, entrants: Sequence[Training], costs: Mapping[str, Sequence[Costs]], done: Done) -> list[Any]:
    """The trainings of each rung that is decided or at work, a rung a list.

    Args:
        asked: what is searched.
        entrants: those that the bounds left.
        costs: student → latency and size of each of its files.
        done: what has ended.
    """
    rungs = [list(entrants)]
    for epochs in asked.lengths[:-1]:
        results = {each: done.get((each, epochs)) for each in rungs[-1]}
        if any(result is None for result in results.values()):
            break
        scores = {each.name: result.top1 for each, result in results.items() if result and result.top1 is not None}
        kept = survivors(scores, {each.name: costs[each.student] for each in results}, asked.reduction)
        rungs.append([each for each in rungs[-1] if each.name in kept])
    return rungs


def next_trials(
    asked: Asked, entrants: Sequence[Training], costs: Mapping[str, Sequence[Costs]], done: Done
) -> list[tuple[Training, int]]:
    """The trials of the rung at work that have not ended; none where the search is at its end."""
    rungs = racing(asked, entrants, costs, done)
    epochs = asked.lengths[len(rungs) - 1]
    return [(each, epochs) for each in rungs[-1] if (each, epochs) not in done]


class Worker:
    """One process of a search.

    Args:
        asked: what is searched.
        folder: of the search.
        journal: of the folder.
        costs: student → precision → the costs of its file, as far as it is within the bounds.
        budget: hours of work, of all processes and attempts together.
        console: for what a person should see.
    """

    def __init__(
        self,
        asked: Asked,
        folder: Path,
        journal: Journal,
        costs: Mapping[str, Mapping[str, Measured]],
        budget: float,
        console: "Console",
    ) -> None:
        self._asked, self._folder, self._journal = asked, folder, journal
        self._budget, self._console = budget, console
        self._files = {student: tuple(files) for student, files in costs.items()}
        self._costs = {student: [(m.latency_ms, m.size) for m in files.values()] for student, files in costs.items()}
        self._entrants = [each for each in asked.trainings if costs.get(each.student)]
        self._directories: dict[Path, RunDirectory] = {}

    def work(self) -> bool:
        """Do trials until none is left or the budget is spent; gives whether none is left."""
        told = False
        while True:
            if not self._next(self._journal.done()):
                return True
            if (spent := spent_hours(self._folder)) >= self._budget:
                self._console.warn(
                    f"the budget is spent: {spent:.2f} of {self._budget:g} hours; no new trial begins."
                    " A larger --budget goes on"
                )
                return False
            with self._journal.claim(self._next) as claim:
                if claim is not None:
                    told = False
                    claim.finish(self._run(claim.training, claim.epochs))
                    continue
            if not told:
                self._console.say("search: other processes work on what is left of this rung; waiting for them")
                told = True
            time.sleep(_WAIT)

    def rungs(self, done: Done) -> list[list[Training]]:
        """See `racing`."""
        return racing(self._asked, self._entrants, self._costs, done)

    def _next(self, done: Done) -> list[tuple[Training, int]]:
        return next_trials(self._asked, self._entrants, self._costs, done) if self._entrants else []

    def _run(self, training: Training, epochs: int) -> Result:
        last = epochs == self._asked.lengths[-1]
        self._console.say(f"══ {training.name}: {count_of(epochs, 'epoch')}")
        run = self._directory(self._folder / RUNS / folder_name(training.name) / f"epochs-{epochs}")
        recipe = self._asked.recipe(training, epochs)
        rivals = tuple(self._asked.recipe(each, epochs) for each in self._entrants)
        donors = [each for each in map(self._directory, run_folders(self._folder)) if each.path != run.path]
        try:
            until = LAST if last else LAST_OF_A_RUNG
            execute(STAGES, recipe, run, self._console, Preflight, until, donors=donors, rivals=rivals)
        except GateError as error:  # training diverged, or the file is not the student: a result like any other
            self._console.warn(f"{training.name}: {error.message}")
            return Result(None, error.message)
        if not last:
            return Result(chosen_score(read_json(run.folder("distill") / "history.json")))
        student = read_json(run.folder("validate") / "verdict.json")["student"]["chosen"]
        top1 = float(student["validation"]["top1"])
        return Result(top1, "", self._finished(training, run), float(student["test"]["top1"]))

    def _finished(self, training: Training, run: RunDirectory) -> dict[str, dict[str, Any]]:
        """What is known of each file of a finished training."""
        reports = read_json(run.folder("parity") / "parity.json")
        found: dict[str, dict[str, Any]] = {}
        for precision in self._files[training.student]:
            report = reports[precision]
            if report.get("status", Status.SHIPPED) not in _SHIPS:
                found[precision] = {"out": f"{report['status']}: {report['reason']}"}
                continue
            model = (run.folder("export") / file_of(precision)).read_bytes()
            size = self._asked.recipe(training).data.image_size
            costs = measured(model, size, self._asked.threads, self._journal)
            found[precision] = {
                "top1": float(report["whole"]["candidate_accuracy"]),
                "latency_ms": costs.latency_ms,
                "p95_ms": costs.p95_ms,
                "size": costs.size,
            }
        return found

    def _directory(self, path: Path) -> RunDirectory:
        """One object a directory: what it has hashed is not hashed again."""
        return self._directories.setdefault(path, RunDirectory(path, cache=self._folder / CACHE))


def run_folders(folder: Path) -> list[Path]:
    """The run directories of a search, those that prepared what the others share first."""
    return [*sorted((folder / PREPARED).glob("*")), *sorted((folder / RUNS).glob("*/epochs-*"))]


def spent_hours(folder: Path) -> float:
    """Hours that all stages of the search took, those of killed attempts among them; a shared stage counts once."""
    seconds: dict[tuple[str, str], float] = {}
    for path in run_folders(folder):
        run = RunDirectory(path)
        for record_file in (path / "stages").glob("*.json"):
            record = run.record(record_file.stem)
            if record is not None and record.status != "skipped":
                key = (record.stage, record.fingerprint)
                seconds[key] = max(seconds.get(key, 0.0), run.seconds_spent(record))
    return sum(seconds.values()) / 3600


def prepare(asked: Asked, folder: Path, trainings: Sequence[Training], console: "Console") -> None:
    """Run what all trainings of a method share, up to its teachers and views, once for each method.

    Args:
        asked: what is searched.
        folder: of the search.
        trainings: one for each method.
        console: for what a person should see.
    """
    made: list[RunDirectory] = []
    for training in trainings:
        run = RunDirectory(folder / PREPARED / folder_name(training.method), cache=folder / CACHE)
        recipe = asked.recipe(training)
        execute(STAGES, recipe, run, console, Preflight, LAST_SHARED, donors=made)
        made.append(run)


def first_of_each(trainings: Sequence[Training], part: Callable[[Training], str]) -> list[Training]:
    """The first training of each student or method."""
    return list({part(each): each for each in reversed(trainings)}.values())[::-1]
