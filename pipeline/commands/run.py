"""The command `run`: a recipe to a verified bundle."""

from pathlib import Path

import click

from pipeline.commands.devices import DEVICES, on_devices
from pipeline.commands.options import OVERRIDES, RECIPE, RUN_DIRECTORY, Running, make_console, running


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
    from pipeline.api.run import execute_run
    from pipeline.recipe import load_recipe
    from pipeline.report.outcome import outcome_line
    from pipeline.streams import echo_json

    loaded = load_recipe(recipe, overrides)
    console = make_console(running.quiet, running.as_json)
    try:
        found = execute_run(
            loaded,
            run_dir,
            console,
            until=running.until,
            force=running.force,
            report=running.report,
            estimate=running.estimate,
            began=_note_stage,
        ).outcome
    except TmkdError as error:
        if running.as_json and error.report is not None:
            echo_json(error.report.outcome)
        raise
    if running.as_json:
        echo_json(found)
    elif running.quiet:
        console.result(outcome_line(found))


def _note_stage(stage: str) -> None:
    """Leave the names of the stages that began to whoever reports an interrupt."""
    context = click.get_current_context(silent=True)
    if context is not None and isinstance(context.obj, list):
        context.obj.append(stage)
