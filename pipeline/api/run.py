"""`run`: a recipe to a verified bundle, in this process; the command of that name calls the same function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.api.recipe import CheckedRecipe, checked
from pipeline.api.shown import Shown
from pipeline.api.wording import for_python

if TYPE_CHECKING:
    from pipeline.console import Console
    from pipeline.recipe.reading.load import LoadedRecipe
    from pipeline.recipe.schema.recipe import Recipe
    from pipeline.runner.planning import PlannedStage
    from pipeline.runner.rundir import RunDirectory


@dataclass(frozen=True, repr=False)
class Run:
    """What a run did.

    Attributes:
        recipe: its name.
        run_dir: where its files are.
        status: `shipped`, `stopped` (before the last stage, as asked) or `failed`.
        stages: of each stage `stage`, `status`, `seconds` and whether it was `reused`.
        student: `validation_top1` and `test_top1` (shares of 1), `epoch`, `parameters` and `bytes`; None before the
            verdict. The last two are None unless the run shipped.
        bundle: the folder for `verify` and `Student.load`; None unless the run shipped.
        report: the page `report.html`; None where none was written.
        outcome: all of this and the error of a run that failed, as the command prints it with `--json`.
    """

    recipe: str
    run_dir: Path
    status: str
    stages: list[dict[str, Any]]
    student: dict[str, Any] | None
    bundle: Path | None
    report: Path | None
    outcome: dict[str, Any] = field(compare=False)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`, one for each epoch of each training, for a table or a plot."""
        from pipeline.runner.metrics_log import read_epochs

        return [figures for _training, _epoch, figures in read_epochs(self.run_dir / "metrics.jsonl")]

    def __repr__(self) -> str:
        """Student against teacher, as a run ends in a terminal."""
        return self._shown().text()

    def _repr_html_(self) -> str:
        return self._shown().html()

    def _shown(self) -> Shown:
        from exporters.core.files import read_json
        from pipeline.report.accuracy import COLUMNS, accuracy_rows, teacher_size
        from pipeline.runner.rundir import RunDirectory

        title = f"{self.recipe}: {self.status}, in {self.run_dir}"
        files = {"bundle": self.bundle, "report": self.report}
        lines = [f"{name}: {path}" for name, path in files.items() if path is not None]
        verdict = self.run_dir / "validate" / "verdict.json"
        if self.student is None or not verdict.is_file():
            done = [stage["stage"] for stage in self.stages if stage["status"] == "done"]
            return Shown(title, lines=[f"finished: {', '.join(done) or 'no stage'}", *lines])
        size = (self.student["parameters"], self.student["bytes"]) if self.bundle is not None else None
        rows = accuracy_rows(read_json(verdict), teacher_size(RunDirectory(self.run_dir)), size)
        return Shown(title, COLUMNS, rows, lines=lines)


def run(
    recipe: CheckedRecipe | str | Path | Mapping[str, Any],
    *,
    run_dir: str | Path | None = None,
    until: str | None = None,
    force: str | None = None,
    report: bool = True,
    estimate: bool = True,
    quiet: bool = False,
) -> Run:
    """Run every stage of a recipe to a verified bundle; finished stages are reused.

    Interrupted (Ctrl-C, or the notebook's stop button), a training saves its state after the step that it is in and
    raises `KeyboardInterrupt`; the same call goes on from there, bit for bit. Outside the main thread, where Python
    delivers no signals, nothing has to be done differently.

    Args:
        recipe: of `load_recipe`, or what that takes.
        run_dir: where files go; default: `runs/<recipe name>`.
        until: the last stage; default: all.
        force: a stage that runs again even if nothing changed.
        report: whether `report.html` is written.
        estimate: whether networks are tried for a moment, to say how long the run will take.
        quiet: print nothing but warnings, on standard error; else bars in a terminal, plain lines elsewhere.

    Raises:
        UsageError: the recipe's mistakes, or a stage of another name.
        GateError: a gate failed, and nothing ships; its `report` is the `Run` as far as it came.
        UnavailableError: something needed is missing or unusable here, or another process works in `run_dir`.
    """
    from pipeline.console import Console

    given = checked(recipe)
    _check_stages(until=until, force=force)
    with for_python(run):
        return execute_run(
            given.loaded,
            None if run_dir is None else Path(run_dir).expanduser(),
            Console(quiet=quiet),
            until=until,
            force=force,
            report=report,
            estimate=estimate,
        )


def execute_run(
    loaded: "LoadedRecipe",
    run_dir: Path | None,
    console: "Console",
    *,
    until: str | None,
    force: str | None,
    report: bool,
    estimate: bool,
    began: Callable[[str], None] = lambda _stage: None,
) -> Run:
    """Do what `run` and the command do.

    Args:
        loaded: the recipe.
        run_dir, until, force, report, estimate: as `run` takes them.
        console: for what a person should see.
        began: given the name of each stage that begins, rather than being reused.

    Raises:
        TmkdError: as `run`; `report` of the error is the run as far as it came.
    """
    from exporters.core.errors import TmkdError
    from pipeline.preflight import Preflight
    from pipeline.recipe.effects import no_effect_note
    from pipeline.report.outcome import PAGE, outcome
    from pipeline.report.summary import show_summary
    from pipeline.runner.engine import execute
    from pipeline.runner.environment import threads
    from pipeline.runner.rundir import RunDirectory
    from pipeline.stages.registry import STAGES
    from pipeline.tracking.live import tracked

    directory = RunDirectory(run_dir or Path("runs") / loaded.recipe.name)
    loaded.warned(console.warn)
    if note := no_effect_note(loaded):
        console.say(note)

    def records() -> list[object]:
        return [directory.record(stage.name) for stage in STAGES]

    before = records()
    with tracked(directory, loaded.recipe, console, until):
        try:
            with threads(loaded.recipe.lock.threads if loaded.recipe.lock is not None else None):
                ran = execute(
                    STAGES,
                    loaded.recipe,
                    directory,
                    console,
                    Preflight,
                    until=until,
                    force=force,
                    ahead=lambda planned: _show_ahead(loaded.recipe, directory, planned, console, estimate),
                    began=began,
                )
        except TmkdError as error:
            if report and records() != before:  # else nothing was done here, perhaps since another run holds it
                _write_page(directory, loaded.recipe, console)
            error.report = run_of(outcome(directory, loaded.recipe, None, error))
            raise
        whole = until is None or until == STAGES[-1].name
        if whole:
            show_summary(directory, loaded.recipe, console, shown=ran)
        else:
            console.say(f"Stopped after {until}, as asked. Files are in {directory.path}.")
        if report and (ran or not (directory.path / PAGE).is_file()):
            _write_page(directory, loaded.recipe, console)
    return run_of(outcome(directory, loaded.recipe, ran, whole=whole))


def run_of(found: dict[str, Any]) -> Run:
    """The run of an outcome."""
    bundle, page = (None if found[key] is None else Path(found[key]) for key in ("bundle", "page"))
    return Run(
        found["recipe"],
        Path(found["run_directory"]),
        found["status"],
        found["stages"],
        found["student"],
        bundle,
        page,
        found,
    )


def _check_stages(**given: str | None) -> None:
    from exporters.core.errors import UsageError
    from pipeline.stages.names import STAGE_NAMES

    for argument, name in given.items():
        if name is not None and name not in STAGE_NAMES:
            raise UsageError(f"{argument}: there is no stage {name!r}", remedy=f"Known: {', '.join(STAGE_NAMES)}.")


def _show_ahead(
    recipe: "Recipe", run: "RunDirectory", planned: "list[PlannedStage]", console: "Console", estimate: bool
) -> None:
    """The plan of the run, before its first stage."""
    from pipeline.costs.outlook import outlook, show_outlook
    from pipeline.distributed.ranks import is_one_of_several

    if console.quiet:
        return
    ahead = outlook(recipe, run, planned, console, trial=estimate and not is_one_of_several())
    show_outlook(ahead, f"{recipe.name} in {run.path}: the plan", console)


def _write_page(directory: "RunDirectory", recipe: "Recipe", console: "Console") -> None:
    """The page of a run, which is no reason for a run to fail."""
    from exporters.core.errors import TmkdError
    from exporters.core.progress import shown_by
    from pipeline.distributed.ranks import this_rank

    if not this_rank().leads:
        return
    try:
        with shown_by(console.track), console.track("page", None):  # libraries for figures take seconds to load
            from pipeline.report.page.write import write_report

            page = write_report(directory, recipe, console)
        console.say(f"page: {page}")
    except (TmkdError, OSError) as error:
        console.warn(f"no page was written: {error}")
