"""The command `run`: a recipe to a verified bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.devices import DEVICES, on_devices
from pipeline.commands.options import OVERRIDES, RECIPE, RUN_DIRECTORY, Running, make_console, running

if TYPE_CHECKING:
    from pipeline.console import Console
    from pipeline.recipe.schema.recipe import Recipe
    from pipeline.runner.planning import PlannedStage
    from pipeline.runner.rundir import RunDirectory


@click.command()
@RECIPE
@OVERRIDES
@RUN_DIRECTORY
@running
@DEVICES
def run(recipe: str, overrides: tuple[str, ...], run_dir: Path | None, running: Running, devices: int | None) -> None:
    """Run every stage of RECIPE to a verified bundle.

    Finished stages are reused; an interrupted run resumes where it stopped. RECIPE is a path, or the name of a
    shipped recipe (`tmkd-pipeline recipes list`). Exits with 3 where a gate fails; then nothing ships.
    """
    from pipeline.recipe import load_recipe

    on_devices(
        devices,
        lambda: load_recipe(recipe, overrides).recipe.device,
        lambda: run_recipe(recipe, overrides, run_dir, running),
    )


def run_recipe(recipe: str, overrides: tuple[str, ...], run_dir: Path | None, running: Running) -> None:
    """Do what `run` does, for other commands too."""
    from exporters.core.errors import TmkdError
    from pipeline.preflight import Preflight
    from pipeline.recipe import load_recipe
    from pipeline.recipe.effects import no_effect_note
    from pipeline.report.outcome import PAGE, outcome, outcome_line
    from pipeline.report.summary import show_summary
    from pipeline.runner.engine import execute
    from pipeline.runner.environment import threads
    from pipeline.runner.rundir import RunDirectory
    from pipeline.stages.registry import STAGES
    from pipeline.streams import echo_json
    from pipeline.tracking.live import tracked

    loaded = load_recipe(recipe, overrides)
    directory = RunDirectory(run_dir or Path("runs") / loaded.recipe.name)
    console = make_console(running.quiet, running.as_json)
    for warning in loaded.warnings:
        console.warn(warning)
    if note := no_effect_note(loaded):
        console.say(note)

    def records() -> list[object]:
        return [directory.record(stage.name) for stage in STAGES]

    before = records()
    with tracked(directory, loaded.recipe, console, running.until):
        try:
            with threads(loaded.recipe.lock.threads if loaded.recipe.lock is not None else None):
                ran = execute(
                    STAGES,
                    loaded.recipe,
                    directory,
                    console,
                    Preflight,
                    until=running.until,
                    force=running.force,
                    ahead=lambda planned: _show_ahead(loaded.recipe, directory, planned, console, running),
                    began=_note_stage,
                )
        except TmkdError as error:
            if running.report and records() != before:  # else nothing was done here, perhaps since another run holds it
                _write_page(directory, loaded.recipe, console)
            if running.as_json:
                echo_json(outcome(directory, loaded.recipe, None, error))
            raise
        whole = running.until is None or running.until == STAGES[-1].name
        if whole:
            show_summary(directory, loaded.recipe, console, shown=ran)
        else:
            console.say(f"Stopped after {running.until}, as asked. Files are in {directory.path}.")
        if running.report and (ran or not (directory.path / PAGE).is_file()):
            _write_page(directory, loaded.recipe, console)
    found = outcome(directory, loaded.recipe, ran, whole=whole)
    if running.as_json:
        echo_json(found)
    elif running.quiet:
        console.result(outcome_line(found))


def _note_stage(stage: str) -> None:
    """Leave the names of the stages that began to whoever reports an interrupt."""
    context = click.get_current_context(silent=True)
    if context is not None and isinstance(context.obj, list):
        context.obj.append(stage)


def _show_ahead(
    recipe: "Recipe", run: "RunDirectory", planned: "list[PlannedStage]", console: "Console", running: Running
) -> None:
    """The plan of the run, before its first stage."""
    from pipeline.costs.outlook import outlook, show_outlook
    from pipeline.distributed.ranks import is_one_of_several

    if console.quiet:
        return
    ahead = outlook(recipe, run, planned, console, trial=running.estimate and not is_one_of_several())
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
