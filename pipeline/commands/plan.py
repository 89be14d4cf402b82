"""The command `plan`: what `run` would do."""

from pathlib import Path
from typing import Any

import click

from pipeline.commands.options import OVERRIDES, RECIPE, RUN_DIRECTORY, STAGE, as_json, make_console


@click.command()
@RECIPE
@OVERRIDES
@RUN_DIRECTORY
@click.option("--force", type=STAGE, help="Plan as `run --force` would.")
@click.option("--verbose", is_flag=True, help="List everything that changed, one line each.")
@click.option("--cost", is_flag=True, help="Also estimate minutes and gigabytes, by trying each network for a moment.")
@as_json("the plan")
def plan(
    recipe: str,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    force: str | None,
    verbose: bool,
    cost: bool,
    as_json: bool,
) -> None:
    """Show which stages `run` would reuse, and why others must run.

    Nothing is run; --cost says besides what the stages will take. RECIPE and --run-dir are as for `run`.
    """
    from pipeline.recipe import load_recipe
    from pipeline.recipe.effects import no_effect_note
    from pipeline.runner.planning import beside_running
    from pipeline.runner.planning import plan as make_plan
    from pipeline.runner.reasons import brief
    from pipeline.runner.rundir import RunDirectory
    from pipeline.stages.registry import STAGES
    from pipeline.streams import echo_json

    console = make_console(False, as_json)
    loaded = load_recipe(recipe, overrides).warned(console.warn)
    directory = RunDirectory(run_dir or Path("runs") / loaded.recipe.name)
    steps = make_plan(STAGES, loaded.recipe, directory, force)
    holder = directory.holder()
    if holder is not None:
        steps = beside_running(steps, directory, holder)
    rows = [[step.stage, step.action, "\n".join(step.why) if verbose else brief(step.why)] for step in steps]
    console.table(f"{loaded.recipe.name} in {directory.path}", ["stage", "action", "why"], rows, words=3)
    if note := no_effect_note(loaded):
        console.say(note)
    if holder is not None:
        console.say(f"process {holder} runs in {directory.path} now")
    found: dict[str, Any] = {
        "recipe": loaded.recipe.name,
        "run_directory": str(directory.path),
        "process": holder,
        "stages": [{"stage": step.stage, "action": step.action, "why": list(step.why)} for step in steps],
        "cost": None,
    }
    if cost and all(step.action in ("reuse", "skip") for step in steps):
        console.say("nothing is left to be done, so that nothing is tried")
        found["cost"] = {step.stage: {"seconds": 0.0, "processor_seconds": 0.0, "bytes": 0} for step in steps}
    elif cost:
        from pipeline.costs.estimate import compiled_networks, estimate_run
        from pipeline.costs.table import cost_table, price_lines

        with console.track("trying each network", None):
            estimate = estimate_run(loaded.recipe, directory, steps)
        console.table(*cost_table(estimate))
        for line in price_lines(estimate, compiled_networks(loaded.recipe)):
            console.say(line)
        found["cost"] = {
            each.stage: {"seconds": each.seconds.wall, "processor_seconds": each.seconds.cpu, "bytes": each.disk}
            for each in estimate.stages
        }
    if as_json:
        echo_json(found)
