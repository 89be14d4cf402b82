"""The whole of `search`: measure, drop, prepare, train by halving, measure again, report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from exporters.core.errors import GateError, TmkdError
from exporters.core.files import write_text
from exporters.core.wording import count_of
from exporters.images.outputs import mark_output
from pipeline.preflight import Preflight
from pipeline.preflight.base import Report, Subject
from pipeline.runner.engine import execute
from pipeline.runner.rundir import RunDirectory
from pipeline.search.journal import LOCKS, Journal, in_turn, require_optuna
from pipeline.search.measuring import Measured, measured, untrained_files
from pipeline.search.outcome import Outcome, conclude
from pipeline.search.report import FRONT, PAGE, console_table, write_report
from pipeline.search.space import Asked, Training
from pipeline.search.work import LAST, PREPARED, Worker, first_of_each, prepare, run_folders, spent_hours
from pipeline.stages.names import STAGE_NAMES
from pipeline.stages.registry import STAGES

if TYPE_CHECKING:
    from pipeline.console import Console

CHOSEN, CHOSEN_RECIPE = "chosen", "chosen.yaml"
_DATA = "data"


@dataclass(frozen=True)
class Entry:
    """What is known before training.

    Attributes:
        costs: student → precision → costs of the untrained file.
        dropped: student and precision → why it is dropped.
    """

    costs: dict[str, dict[str, Measured]]
    dropped: dict[tuple[str, str], str]

    @property
    def within(self) -> dict[str, dict[str, Measured]]:
        """`costs` without what is dropped, and without students of which nothing is left."""
        kept = {
            student: {name: costs for name, costs in files.items() if (student, name) not in self.dropped}
            for student, files in self.costs.items()
        }
        return {student: files for student, files in kept.items() if files}


def search(asked: Asked, folder: Path, budget: float, command: Sequence[str], console: "Console") -> Outcome:
    """Search for the students within the bounds; a search that was interrupted goes on.

    Several processes may work on one folder: whoever comes first measures and prepares, the trials are divided.

    Args:
        asked: what is searched.
        folder: where everything goes.
        budget: hours of work after which no new trial begins.
        command: the command line, for the report.
        console: for what a person should see.

    Returns:
        What came of it; the report is written, and `chosen.yaml` if there is a choice.

    Raises:
        GateError: no candidate is within the bounds; the report is written all the same.
        TmkdError: something that the candidates need is missing or wrong.
    """
    require_optuna()
    mark_output(folder)
    journal, typed = Journal(folder, asked), " ".join(map(quote, command))
    sizes = [("student", asked.students), ("method", asked.methods), ("precision", asked.precisions)]
    epochs = ", ".join(map(str, asked.lengths))
    console.say(f"{' × '.join(count_of(len(names), what) for what, names in sizes)} in {folder}; epochs: {epochs}")

    def waits(process: str) -> None:
        console.say(f"search: process {process} is preparing; waiting for it")

    with in_turn(folder / LOCKS / "preparing.lock", waits):
        entry = _entry(asked, folder, journal, console)
        left = [each for each in asked.trainings if each.student in entry.within]
        if left:
            _check(asked, folder, left, console)
            if spent_hours(folder) < budget:
                prepare(asked, folder, first_of_each(left, lambda each: each.method), console)
    worker = Worker(asked, folder, journal, entry.within, budget, console)
    whole = worker.work()
    with in_turn(folder / LOCKS / "reporting.lock"):
        done = journal.done()
        outcome = conclude(asked, entry.costs, entry.dropped, worker.rungs(done), done)
        write_report(asked, outcome, typed, folder)
        if outcome.chosen is not None:
            recipe = asked.chosen_recipe(outcome.chosen.training, outcome.chosen.precision)
            write_text(folder / CHOSEN_RECIPE, recipe.to_yaml())
    title, columns, rows, words = console_table(asked, outcome)
    console.table(title, columns, rows, words=words)
    spent = spent_hours(folder)
    console.say(f"report: {folder / PAGE}, with {FRONT} and the figure beside it; {spent:.2f} hours of work")
    if outcome.chosen is None:
        raise GateError(
            "no candidate finished within the bounds" if whole else "the budget ended before a candidate was finished",
            remedy=f"{folder / PAGE} says what was dropped, when and why. "
            + ("Loosen a bound, or name other students." if whole else "A larger --budget goes on."),
        )
    return outcome


def run_chosen(asked: Asked, folder: Path, outcome: Outcome, console: "Console", until: str | None = None) -> None:
    """Run the choice in a directory of its own, which takes over what its training has made.

    Args:
        asked: what was searched.
        folder: of the search.
        outcome: with a choice.
        console: for what a person should see.
        until: the last stage; None: all, to the bundle.

    Raises:
        GateError: a gate of the user's recipe is missed.
    """
    assert outcome.chosen is not None
    recipe = asked.chosen_recipe(outcome.chosen.training, outcome.chosen.precision)
    donors = [RunDirectory(path) for path in run_folders(folder)]
    execute(STAGES, recipe, RunDirectory(folder / CHOSEN), console, Preflight, until, donors=donors)


def _entry(asked: Asked, folder: Path, journal: Journal, console: "Console") -> Entry:
    """Index the images, export every student untrained, and see which files cannot be within the bounds."""
    first = asked.trainings[0]
    run = RunDirectory(folder / PREPARED / _DATA)
    execute(STAGES, asked.recipe(first), run, console, Preflight, until="data")
    costs: dict[str, dict[str, Measured]] = {}
    dropped: dict[tuple[str, str], str] = {}
    problems = Report()
    for training in first_of_each(asked.trainings, lambda each: each.student):
        student = training.student
        with problems.collecting(), _about(student), console.track(f"measuring {student} untrained", None):
            files, refused = _untrained(asked, training, run)
            costs[student] = {}
            dropped |= {(student, precision): reason for precision, reason in refused.items()}
            for precision, model in files.items():
                size = asked.recipe(training).data.image_size
                found = costs[student][precision] = measured(model, size, asked.threads, journal)
                if missed := asked.bounds.missed(found.latency_ms, found.size):
                    dropped[student, precision] = missed
    problems.raise_errors()
    for (student, precision), why in dropped.items():
        console.say(f"{student}, {precision}: dropped before training: {why}")
    return Entry(costs, dropped)


def _untrained(asked: Asked, training: Training, run: RunDirectory) -> tuple[dict[str, bytes], dict[str, str]]:
    from pipeline.preflight.exporting import untrained_student
    from pipeline.stages.shared.networks import student_preprocessing

    recipe = asked.recipe(training)
    subject = Subject(recipe, run, frozenset())
    model = subject.student()
    preprocessing = student_preprocessing(recipe, model.mean, model.std).to_json()
    student = untrained_student(model.architecture, tuple(subject.classes), json.loads(json.dumps(preprocessing)))
    return untrained_files(student, recipe.export.onnx.opset, asked.precisions)


class _about:
    """Puts the name of a training before the message of an error."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, TmkdError):
            error.message = f"{self._name}: {error.message}"


def _check(asked: Asked, folder: Path, trainings: Sequence[Training], console: "Console") -> None:
    """Let the checks of `pipeline.preflight` see every training before the first one.

    Raises:
        TmkdError: what was found, each with the training that it concerns.
    """
    run = RunDirectory(folder / PREPARED / _DATA)
    problems = Report()
    reached = STAGES[: STAGE_NAMES.index(LAST) + 1]
    for training in trainings:
        recipe = asked.recipe(training)
        wanted = [stage.name for stage in reached if stage.skipped(recipe) is None]
        preflight = Preflight(recipe, run, wanted, partial(list, wanted), lambda _warning: None)
        with (
            problems.collecting(),
            _about(training.name),
            console.track(f"checking {training.name}", None),
        ):
            preflight.before_first_stage(wanted)
            preflight.before_training()
    problems.raise_errors()
