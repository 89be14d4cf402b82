"""The command `report`: the page of a run directory."""

from pathlib import Path

import click

from pipeline.commands.options import PATH


@click.command()
@click.argument("run_dir", type=PATH)
def report(run_dir: Path) -> None:
    """Write RUN_DIR/report.html: one page that shows what the run gave.

    Works for runs that are finished, failed, stopped or still going on. `run` writes it at its end. The page needs no
    network and no other file; its figures are also in RUN_DIR/report/figures, as SVG and PNG.
    """
    from exporters.core.errors import UsageError
    from pipeline.console import Console
    from pipeline.recipe import load_recipe
    from pipeline.report.page.write import write_report
    from pipeline.runner.rundir import RunDirectory

    locked = run_dir / "recipe.lock.yaml"
    if not locked.is_file():
        raise UsageError(
            f"{run_dir} is no run directory: it has no recipe.lock.yaml",
            remedy="Name the directory of a run, such as runs/quickstart.",
        )
    console = Console()
    page = write_report(RunDirectory(run_dir), load_recipe(str(locked), ()).recipe, console)
    console.say(f"{page}")
