"""The command `track`: sends what trackers lack of a run directory."""

from functools import cache
from pathlib import Path

import click

from pipeline.commands.options import OVERRIDES, PATH, as_json, make_console
from pipeline.commands.types import Names

TRACKER_NAMES = ("tensorboard", "mlflow", "wandb")
"""As the recipe's schema has them, which `--help` does not import."""

_LOCKED = "recipe.lock.yaml"
_RUNS = f"runs/*/seed-*/{_LOCKED}"


@click.command()
@click.argument("run_dir", type=PATH)
@click.option("--to", "trackers", type=Names(*TRACKER_NAMES), help="Trackers; default: the run's `track.to`.")
@click.option("--anew", is_flag=True, help="Begin another run at each tracker, with everything.")
@OVERRIDES
@as_json("which runs had something to send")
def track(
    run_dir: Path, trackers: tuple[str, ...] | None, anew: bool, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Send the figures of RUN_DIR to trackers.

    Sends what a tracker does not have yet: of a run that was made without it, or while it could not be reached.
    RUN_DIR is the directory of a run or of a comparison. Keys below `track` can be changed with --set.
    """
    from exporters.core.errors import UsageError
    from pipeline.recipe.reading.load import load_recipe
    from pipeline.recipe.reading.overrides import parse_override
    from pipeline.runner.rundir import RunDirectory
    from pipeline.streams import echo_json
    from pipeline.tracking.arms import tracked_as_arm
    from pipeline.tracking.live import resend

    for change in map(parse_override, overrides):
        if change.path[:1] != ("track",):
            raise UsageError(
                f"--set {change.text}: only keys below track can be changed here",
                remedy="A run that is finished stays what it is: tmkd-pipeline run makes another one.",
            )
    found = [run_dir] if (run_dir / _LOCKED).is_file() else sorted(path.parent for path in run_dir.glob(_RUNS))
    if not found:
        raise UsageError(
            f"{run_dir} is no directory of a run or a comparison: it has no {_LOCKED}",
            remedy="Name one, such as runs/quickstart.",
        )
    changes = (*overrides, *((f"track.to=[{','.join(dict.fromkeys(trackers))}]",) if trackers else ()))
    console, runs = make_console(False, as_json), []
    warn = cache(console.warn)  # what is said of a --set is said once, and not for each run
    for path in found:
        recipe = load_recipe(str(path / _LOCKED), changes).warned(warn).recipe
        if not recipe.track.to:
            raise UsageError(f"{path / _LOCKED} names no tracker", remedy=f"Name them: --to {','.join(TRACKER_NAMES)}")
        if path != run_dir:
            recipe = tracked_as_arm(recipe, run_dir, path)
        sent = resend(RunDirectory(path), recipe, console, anew=anew)
        runs.append({"run_directory": str(path), "trackers": list(recipe.track.to), "sent": sent})
        if not sent:
            console.say(f"{path}: {', '.join(recipe.track.to)}: nothing new to send")
    if as_json:
        echo_json({"runs": runs})
