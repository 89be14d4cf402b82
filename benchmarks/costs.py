"""The cost model against a run: what `plan --cost` foretells of each stage, beside what the stage then takes.

    python -m benchmarks.costs                              the quickstart
    python -m benchmarks.costs my_recipe.yaml --set train.epochs=3 --until distill

Processor seconds are compared, on one thread unless `--threads` says otherwise: other work on the machine changes them
little. Wall times are printed beside.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.training.measuring import Cost, circumstances, cost_of
from pipeline.console import Console
from pipeline.costs.estimate import estimate_run
from pipeline.preflight import Preflight
from pipeline.recipe import load_recipe
from pipeline.runner.engine import execute
from pipeline.runner.planning import plan
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.names import STAGE_NAMES
from pipeline.stages.registry import STAGES

TARGET = 0.15


def measure(recipe: str, overrides: Sequence[str], until: str, threads: int) -> dict[str, Any]:
    """Estimate a run, and run it stage by stage in a new run directory.

    Returns:
        JSON values: `stages`, name → `predicted` and `measured`, each `cpu` and `wall` in seconds; `whole`, the same of
        all; `error` of the whole, measured over predicted less 1, in processor seconds; and what it all holds for.
    """
    import torch

    torch.set_num_threads(threads)
    loaded = load_recipe(recipe, tuple(overrides)).recipe
    stages: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        run, console = RunDirectory(Path(folder) / "run"), Console(sys.stderr, plain=True)
        estimate = estimate_run(loaded, run, plan(STAGES, loaded, run))
        for stage in estimate.stages:
            if stage.basis == "":
                continue
            took = _cost_of_stage(lambda name=stage.stage: execute(STAGES, loaded, run, console, Preflight, until=name))
            stages[stage.stage] = {
                "predicted": {"cpu": round(stage.seconds.cpu, 2), "wall": round(stage.seconds.wall, 2)},
                "measured": {"cpu": round(took.cpu, 2), "wall": round(took.wall, 2)},
            }
            if stage.stage == until:
                break
    whole = {
        side: {kind: round(sum(each[side][kind] for each in stages.values()), 2) for kind in ("cpu", "wall")}
        for side in ("predicted", "measured")
    }
    error = whole["measured"]["cpu"] / whole["predicted"]["cpu"] - 1
    return {
        "recipe": loaded.name,
        "stages": stages,
        "whole": whole,
        "error": round(error, 4),
        "holds": abs(error) <= TARGET,
        **circumstances(threads),
    }


def _cost_of_stage(work: Callable[[], object]) -> Cost:
    """Of a run up to a stage, less that of finding everything in place, which a whole run does once."""
    first, again = cost_of(work), cost_of(work)
    return Cost(first.wall - again.wall, first.cpu - again.cpu)


def to_markdown(measured: dict[str, Any]) -> str:
    """The measurement as a table."""
    rows = [
        f"| {name} | {each['predicted']['cpu']:,.1f} | {each['measured']['cpu']:,.1f} |"
        f" {_off(each)} | {each['measured']['wall']:,.1f} |"
        for name, each in (measured["stages"] | {"**all**": measured["whole"]}).items()
    ]
    machine = measured["machine"]
    return "\n".join(
        [
            "| stage | predicted, CPU s | measured, CPU s | off by | measured, wall s |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"{measured['recipe']}: {machine['processor'] or machine['machine']}, {measured['threads']} thread(s),"
            f" torch {machine['packages']['torch']}, commit {measured['commit']}; within {TARGET:.0%} of the whole is"
            " wanted.",
        ]
    )


def _off(each: dict[str, Any]) -> str:
    predicted = each["predicted"]["cpu"]
    return f"{100 * (each['measured']['cpu'] / predicted - 1):+.0f} %" if predicted else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; Markdown, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", nargs="?", default="recipes/quickstart.yaml")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--until", choices=STAGE_NAMES, default=STAGE_NAMES[-1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    chosen = parser.parse_args(arguments)
    measured = measure(chosen.recipe, chosen.overrides, chosen.until, chosen.threads)
    sys.stdout.write(f"{json.dumps(measured) if chosen.json else to_markdown(measured)}\n")


if __name__ == "__main__":
    main()
