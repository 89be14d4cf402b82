"""The command `report`: the page of a run directory or of a comparison."""

from pathlib import Path

import click

from pipeline.commands.options import PATH, QUIET, as_json, make_console


@click.command()
@click.argument("run_dir", type=PATH)
@QUIET
@as_json("the page's path")
def report(run_dir: Path, quiet: bool, as_json: bool) -> None:
    """Write RUN_DIR/report.html: one page that shows what the run gave.

    Works for runs that are finished, failed, stopped or still going on, and for the directories of `compare`. `run` and
    `compare` write it at their end. The page needs no network and no other file; its figures are also in
    RUN_DIR/report/figures, as SVG and PNG.
    """
    from exporters.core.errors import UsageError
    from pipeline.comparison.planned import is_comparison
    from pipeline.recipe import load_recipe
    from pipeline.runner.rundir import RunDirectory
    from pipeline.streams import echo_json

    locked, console = run_dir / "recipe.lock.yaml", make_console(quiet, as_json)
    with console.track("page", None):  # libraries for figures take seconds to load
        if is_comparison(run_dir):
            from pipeline.comparison.page.write import write_page

            page = write_page(run_dir, console)
        elif locked.is_file():
            from pipeline.report.page.write import write_report

            recipe = load_recipe(str(locked)).warned(console.warn).recipe
            page = write_report(RunDirectory(run_dir), recipe, console)
        else:
            raise UsageError(
                f"{run_dir} is no run directory: it has no recipe.lock.yaml",
                remedy="Name the directory of a run or of a comparison, such as runs/quickstart.",
            )
    if as_json:
        echo_json({"page": str(page)})
    else:
        console.result(f"{page}")
