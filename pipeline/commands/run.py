"""The command `run`: a recipe to a verified bundle."""

from pathlib import Path

import click

from pipeline.commands.devices import DEVICES, on_devices
from pipeline.commands.options import OVERRIDES, RECIPE, RUN_DIRECTORY, STAGE


@click.command()
@RECIPE
@OVERRIDES
@RUN_DIRECTORY
@click.option("--until", type=STAGE, help="Stop after this stage.")
@click.option("--force", type=STAGE, help="Run this stage again even if nothing changed.")
@DEVICES
def run(
    recipe: str,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    until: str | None,
    force: str | None,
    devices: int | None,
) -> None:
    """Run every stage of RECIPE to a verified bundle.

    Finished stages are reused; an interrupted run resumes where it stopped. RECIPE is a path, or the name of a
    shipped recipe (`tmkd-pipeline recipes list`).
    """
    from pipeline.recipe import load_recipe

    on_devices(
        devices,
        lambda: load_recipe(recipe, overrides).recipe.device,
        lambda: run_recipe(recipe, overrides, run_dir, until, force),
    )


def run_recipe(
    recipe: str, overrides: tuple[str, ...], run_dir: Path | None, until: str | None, force: str | None
) -> None:
    """Do what `run` does, for other commands too."""
    from pipeline.console import Console
    from pipeline.preflight import Preflight
    from pipeline.recipe import load_recipe
    from pipeline.recipe.effects import no_effect_note
    from pipeline.report.summary import show_summary
    from pipeline.runner.engine import execute
    from pipeline.runner.rundir import RunDirectory
    from pipeline.stages.registry import STAGES

    loaded = load_recipe(recipe, overrides)
    directory = RunDirectory(run_dir or Path("runs") / loaded.recipe.name)
    console = Console()
    if note := no_effect_note(loaded):
        console.say(note)
    ran = execute(STAGES, loaded.recipe, directory, console, Preflight, until=until, force=force)
    if until is None or until == STAGES[-1].name:
        show_summary(directory, loaded.recipe, console, shown=ran)
    else:
        console.say(f"Stopped after {until}, as asked. Files are in {directory.path}.")
