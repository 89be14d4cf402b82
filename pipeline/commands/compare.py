"""The command `compare`: one student under several methods and seeds."""

import sys
from pathlib import Path

import click

from pipeline.commands.devices import DEVICES, on_devices
from pipeline.commands.options import OVERRIDES, PATH, QUIET, RECIPE, REPORT, as_json, make_console
from pipeline.commands.types import Names

NAMES = Names()


@click.command()
@RECIPE
@click.option("--methods", default="ce,kd,cat_kd,tmkd", show_default=True, type=NAMES, help="Methods to compare.")
@click.option("--bases", type=NAMES, help="Methods that tmkd extends; default: the recipe's distill.base.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of seeds, counted up from the recipe's.",
)
@click.option(
    "--ablate",
    type=NAMES,
    metavar="SWITCHES",
    help="Vary these parts of tmkd on the first base: views, weighting, contrast.",
)
@click.option("--weightings", type=NAMES, help="Weightings to try with --ablate weighting; default: all available.")
@click.option("--corruptions", is_flag=True, help="Also score on corrupted test images (validate.corruptions).")
@OVERRIDES
@click.option("--run-dir", type=PATH, metavar="DIR", help="Default: runs/<recipe name>-compare.")
@REPORT
@QUIET
@as_json("the comparison")
@DEVICES
def compare(
    recipe: str,
    methods: tuple[str, ...],
    bases: tuple[str, ...] | None,
    seeds: int,
    ablate: tuple[str, ...] | None,
    weightings: tuple[str, ...] | None,
    corruptions: bool,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    report: bool,
    quiet: bool,
    as_json: bool,
    devices: int | None,
) -> None:
    """Train a student under several methods and seeds, and compare.

    Shows which method makes a difference. Separate names by commas. Every run is an ordinary run directory; an
    interrupted comparison resumes where it stopped, and can be extended by more seeds or methods. The recipe's gates
    are reported, not enforced. It ends with report.html, a page over all arms. Exits with 3 where a training
    fails.
    """
    from pipeline.api.compare import execute_comparison
    from pipeline.comparison.arms import Source
    from pipeline.streams import echo_json

    source = Source(recipe, (*overrides, *(("validate.corruptions=true",) if corruptions else ())))

    console = make_console(quiet, as_json)

    def work() -> None:
        done = execute_comparison(
            source,
            methods=methods,
            bases=bases,
            seeds=seeds,
            ablate=ablate,
            weightings=weightings,
            run_dir=run_dir,
            command=["tmkd-pipeline", *sys.argv[1:]],
            report=report,
            console=console,
        )
        if as_json:
            echo_json(done.found)
        elif quiet:
            console.result(f"{done.run_dir / 'compare.md'}")

    on_devices(devices, lambda: source.load().device, work)
