"""Which stages are done, and why another one must run again."""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.runner.fingerprint import code_digest, digest, libraries_digest
from pipeline.runner.reasons import differences
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory

if TYPE_CHECKING:
    from pipeline.recipe.schema.recipe import Recipe
    from pipeline.runner.stage import Stage

Action = Literal["reuse", "run", "continue", "wait", "skip", "fail", "running"]

_MEASURED_ANEW = "validate.max_latency_ms"
"""A gate on what is measured at each attempt, so that the same inputs may pass it another time."""


@dataclass(frozen=True)
class PlannedStage:
    """What will happen to a stage.

    Attributes:
        stage: its name.
        action: `reuse` its files; `run` it; `continue` what was interrupted; `wait` for a stage before it, whose new
            files decide; `skip` it, because the recipe has no need of it; `fail`: it runs, and fails at its gate again;
            `running`: another process is at it.
        why: the reasons, for people.
    """

    stage: str
    action: Action
    why: tuple[str, ...]


def plan(
    stages: "Sequence[Stage]", recipe: "Recipe", run: RunDirectory, force: str | None = None
) -> list[PlannedStage]:
    """What `execute` would do now, as far as it can be known without running anything."""
    planned: list[PlannedStage] = []
    unsettled: set[str] = set()
    failing: str | None = None
    needed = needed_stages(stages, recipe)
    for stage in stages:
        reason = stage.skipped(recipe)
        if reason is not None:
            planned.append(PlannedStage(stage.name, "skip", (reason,)))
            continue
        waiting_for = [name for name in stage.upstream(recipe) if name in unsettled]
        record = run.record(stage.name)
        if failing is not None:
            planned.append(PlannedStage(stage.name, "wait", (f"is not reached while {failing} fails",)))
        elif record is None:
            planned.append(PlannedStage(stage.name, "run", (run.why_unrecorded(stage.name),)))
        else:
            # A stage that has yet to run may give the same files as before.
            same = {key: record.inputs[key] for name in waiting_for if (key := f"stage {name}") in record.inputs}
            inputs = stage_inputs(stage, recipe, run, needed) | same
            decided = decide(stage, run, record, inputs)
            given = f"{' and '.join(waiting_for)} give{'s' * (len(waiting_for) == 1)} the same files"
            if record.gate and record.fingerprint == digest(inputs):
                if waiting_for:
                    decided = PlannedStage(stage.name, "wait", (f"runs again, and fails again if {given}",))
                elif _is_measured_anew(record):
                    decided = _measured_anew(record)
                else:
                    decided, failing = _fails_again(record), stage.name
            elif stage.name == force:
                decided = PlannedStage(stage.name, "run", ("forced",))
            elif decided.action == "reuse" and waiting_for:
                decided = PlannedStage(stage.name, "wait", (f"is reused if {given}",))
            planned.append(decided)
        if planned[-1].action != "reuse":
            unsettled.add(stage.name)
    return planned


def needed_stages(stages: "Sequence[Stage]", recipe: "Recipe") -> set[str]:
    """The names of the stages that the recipe does not skip."""
    return {stage.name for stage in stages if stage.skipped(recipe) is None}


def _fails_again(record: StageRecord) -> PlannedStage:
    """The plan of a stage whose gate failed and whose inputs are the same: what failed, and the remedy."""
    failure, *remedy = (line.strip() for line in record.message.splitlines())
    unchanged = "runs again, and fails again: nothing that it follows from has changed"
    return PlannedStage(record.stage, "fail", (unchanged, failure, *remedy))


def _is_measured_anew(record: StageRecord) -> bool:
    """Whether nothing failed but a gate on what is measured at each attempt."""
    missed = [part for part in record.message.replace(";", ",").split(",") if " FAILED" in part]
    return bool(missed) and all(_MEASURED_ANEW in part for part in missed)


def _measured_anew(record: StageRecord) -> PlannedStage:
    failure, *remedy = (line.strip() for line in record.message.splitlines())
    return PlannedStage(
        record.stage, "run", ("the latency is measured anew, and may be within its bound", failure, *remedy)
    )


def beside_running(planned: Sequence[PlannedStage], run: RunDirectory, process: str) -> list[PlannedStage]:
    """The plan of a directory in which a process runs: the stage that it is at is `running`, and those after it wait.

    Args:
        planned: of `plan`.
        run: the directory.
        process: its id, or `unknown`.
    """
    found: list[PlannedStage] = []
    current: str | None = None
    for step in planned:
        record = run.record(step.stage)
        if current is None and record is not None and record.status == "running":
            current = step.stage
            found.append(PlannedStage(step.stage, "running", (f"process {process} is at it",)))
        elif current is not None and step.action in ("run", "continue", "fail"):
            found.append(PlannedStage(step.stage, "wait", (f"process {process} is at {current}", *step.why)))
        else:
            found.append(step)
    return found


def decide(stage: "Stage", run: RunDirectory, record: StageRecord, inputs: dict[str, str]) -> PlannedStage:
    """Whether a stage with a record is reused, is continued or runs again.

    Args:
        stage: the stage.
        run: the directory.
        record: of the stage, as it was last written.
        inputs: `stage_inputs` of the stage, now.
    """
    if record.fingerprint != digest(inputs):
        without = record.message if record.status == "failed" and not record.inputs else "it has not run yet"
        return PlannedStage(stage.name, "run", tuple(differences(record.inputs, inputs)) or (without,))
    if record.status == "running":
        return PlannedStage(stage.name, "continue", ("it was interrupted",))
    if record.status == "failed":
        return PlannedStage(stage.name, "continue", (f"it failed: {record.message.splitlines()[0]}",))
    damage = run.damaged_output(record)
    if damage is not None:
        return PlannedStage(stage.name, "run", (damage,))
    return PlannedStage(stage.name, "reuse", ())


def stage_inputs(stage: "Stage", recipe: "Recipe", run: RunDirectory, needed: set[str]) -> dict[str, str]:
    """Every part of a stage's fingerprint: code, libraries, settings, files outside, outputs of the stages before.

    Stages that the recipe has no need of do not count, whatever files they have from another day.
    """
    parts = {
        "code": code_digest([type(stage).__module__, *stage.modules(recipe)]),
        "libraries": libraries_digest(stage.libraries),
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
    parts |= {key: json.dumps(value, sort_keys=True) for key, value in stage.parameters(recipe).items()}
    parts |= {f"file {name}": content for name, content in stage.files(recipe).items()}
    for name in stage.upstream(recipe):
        if name not in needed:
            continue
        record = run.record(name)
        parts[f"stage {name}"] = digest(record.outputs if record is not None and record.status == "done" else None)
    return parts
