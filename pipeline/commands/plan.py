"""The command `plan`: what `run` would do."""

from pathlib import Path

import click

from pipeline.commands.options import OVERRIDES, RECIPE, RUN_DIRECTORY, STAGE


@click.command()
@RECIPE
@OVERRIDES
@RUN_DIRECTORY
@click.option("--force", type=STAGE, help="Plan as `run --force` would.")
@click.option("--verbose", is_flag=True, help="List everything that changed, one line each.")
def plan(recipe: str, overrides: tuple[str, ...], run_dir: Path | None, force: str | None, verbose: bool) -> None:
    """Show which stages `run` would reuse, and why others must run.

    Nothing is run. RECIPE and --run-dir are as for `run`.
    """
    from pipeline.console import Console
    from pipeline.recipe import load_recipe
    from pipeline.runner.planning import plan as make_plan
    from pipeline.runner.reasons import brief
    from pipeline.runner.rundir import RunDirectory
    from pipeline.stages.registry import STAGES

    loaded = load_recipe(recipe, overrides)
    directory = RunDirectory(run_dir or Path("runs") / loaded.recipe.name)
    rows = [
        [planned.stage, planned.action, "\n".join(planned.why) if verbose else brief(planned.why)]
        for planned in make_plan(STAGES, loaded.recipe, directory, force)
    ]
    Console().table(f"{loaded.recipe.name} in {directory.path}", ["stage", "action", "why"], rows, words=3)
