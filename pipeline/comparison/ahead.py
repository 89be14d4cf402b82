"""What a comparison is about to do: the runs of each arm that are finished and those that are left, with minutes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.runner.rundir import RunDirectory

if TYPE_CHECKING:
    from pipeline.console import Console

COLUMNS = ("arm", "seeds finished", "seeds left", "minutes left")

_OWN = ("race", "distill", "reference", "validate")
"""Stages that each run of an arm does itself; the others are shared, or taken over from another run."""


def show_ahead(runs: Sequence[tuple[str, RunDirectory, bool]], console: "Console") -> None:
    """Print a row for each arm, and how long the arms that were measured will take.

    Args:
        runs: arm, directory, and whether it is finished, of each run.
        console: where it is printed.
    """
    rows, total, unknown = [], 0.0, 0
    for arm in dict.fromkeys(name for name, _directory, _finished in runs):
        done = [directory for name, directory, finished in runs if name == arm and finished]
        left = sum(name == arm and not finished for name, _directory, finished in runs)
        minutes = left * sum(map(_seconds, done)) / len(done) / 60 if done else 0.0
        total += minutes
        unknown += left if not done else 0
        rows.append([arm, str(len(done)), str(left), f"{minutes:,.1f}" if done and left else "?" if left else ""])
    left = sum(not finished for _arm, _directory, finished in runs)
    if not left:
        console.say(f"plan: all {len(runs)} runs are finished")
        return
    console.table("the plan", COLUMNS, rows)
    if unknown < left:
        console.say(f"about {total:,.0f} minutes for {left - unknown} of {left} runs, by the seeds that are finished")
    if unknown:
        console.say("?: known once a seed of the arm is finished; `plan --cost` estimates a single run")


def _seconds(directory: RunDirectory) -> float:
    records = (directory.record(stage) for stage in _OWN)
    return sum(record.seconds for record in records if record is not None and record.status == "done")
