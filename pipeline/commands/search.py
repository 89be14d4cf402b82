"""The command `search`: which student, method and precision is best within bounds of latency and size."""

import sys
from pathlib import Path

import click

from pipeline.commands.options import (
    OVERRIDES,
    PATH,
    PRECISION_NAMES,
    QUIET,
    RECIPE,
    REPORT,
    Running,
    as_json,
    make_console,
)
from pipeline.commands.types import Names, Share

NAMES = Names()
POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command()
@RECIPE
@click.option("--students", required=True, type=NAMES, help="Networks to try; the recipe's own keeps its arguments.")
@click.option(
    "--precisions", default="fp32", show_default=True, type=Names(*PRECISION_NAMES), help="Files to make of each."
)
@click.option("--methods", type=NAMES, help="Such as ce,kd,tmkd; default: the recipe's, under auto those that race.")
@click.option(
    "--max-latency-ms", type=POSITIVE, help="Longest median time of one image; default: validate.max_latency_ms."
)
@click.option("--max-size-mb", type=POSITIVE, help="Largest file, in 10^6 bytes; default: validate.max_size_mb.")
@click.option("--min-top1", type=Share(), help="Lowest accuracy on validation; default: validate.min_top1.")
@click.option(
    "--budget", required=True, type=POSITIVE, metavar="HOURS", help="Hours of work; no new trial begins after them."
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of ONNX Runtime, for latency."
)
@click.option("--rungs", type=click.IntRange(0, 5), help="Short rungs; default: distill.auto.rungs.")
@click.option("--reduction", type=click.IntRange(2, 10), help="Factor between rungs; default: distill.auto.reduction.")
@OVERRIDES
@click.option("--run-dir", type=PATH, metavar="DIR", help="Default: runs/<recipe name>-search.")
@REPORT
@QUIET
@as_json("front.json")
def search(
    recipe: str,
    students: tuple[str, ...],
    precisions: tuple[str, ...],
    methods: tuple[str, ...] | None,
    max_latency_ms: float | None,
    max_size_mb: float | None,
    min_top1: float | None,
    budget: float,
    threads: int,
    rungs: int | None,
    reduction: int | None,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    report: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Find the most accurate student within bounds of latency and size.

    Measures the untrained files and drops those beyond a bound, trains the others by successive halving, measures what
    is left, and gives the Pareto front. The most accurate one within the bounds becomes an ordinary run with its
    bundle, in DIR/chosen. An interrupted search goes on; the same command in several processes divides the trials.
    Exits with 3 where no candidate is within the bounds.
    """
    from exporters.core.files import read_json
    from pipeline.commands.run import run_recipe
    from pipeline.comparison.arms import Source
    from pipeline.search.journal import LOCKS, in_turn, require_optuna
    from pipeline.search.report import FRONT
    from pipeline.search.search import CHOSEN, CHOSEN_RECIPE, run_chosen
    from pipeline.search.search import search as run_search
    from pipeline.search.space import Bounds, ask
    from pipeline.streams import echo_json

    source, console = Source(recipe, overrides), make_console(quiet, as_json)
    source.warn(console.warn)
    asked = ask(
        source,
        students=students,
        precisions=precisions,
        methods=methods,
        bounds=Bounds(max_latency_ms, max_size_mb, min_top1),
        rungs=rungs,
        reduction=reduction,
        threads=threads,
    )
    require_optuna()
    folder = run_dir or Path("runs") / f"{asked.own.name}-search"
    outcome = run_search(asked, folder, budget, ["tmkd-pipeline", *sys.argv[1:]], console)
    with in_turn(folder / LOCKS / "choosing.lock"):
        run_chosen(asked, folder, outcome, console, until=None if as_json else "distill")
        if not as_json:
            running = Running(until=None, force=None, report=report, estimate=False, quiet=quiet)
            run_recipe(str(folder / CHOSEN_RECIPE), (), folder / CHOSEN, running)
    if as_json:
        echo_json(read_json(folder / FRONT))
