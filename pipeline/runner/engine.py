"""The engine: runs the stages of a recipe in order, or reuses what they have made."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.interrupts import interrupts_kept
from exporters.core.out_of_memory import REMEDY, describe_out_of_memory, is_out_of_memory
from exporters.core.progress import shown_by
from pipeline.distributed.ranks import is_one_of_several, this_rank
from pipeline.runner.fingerprint import digest
from pipeline.runner.lock_file import write_lock
from pipeline.runner.planning import PlannedStage, decide, needed_stages, plan, stage_inputs
from pipeline.runner.reasons import brief
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.withdrawal import withdraw_bundle

if TYPE_CHECKING:
    from pipeline.console import Console
    from pipeline.recipe.schema.recipe import Recipe
    from pipeline.runner.checks import Checks, MakeChecks
    from pipeline.runner.stage import Stage


def execute(
    stages: "Sequence[Stage]",
    recipe: "Recipe",
    run: RunDirectory,
    console: "Console",
    make_checks: "MakeChecks",
    until: str | None = None,
    force: str | None = None,
    donors: Sequence[RunDirectory] = (),
    rivals: "Sequence[Recipe]" = (),
    ahead: "Callable[[list[PlannedStage]], None] | None" = None,
    began: "Callable[[str], None]" = lambda _stage: None,
) -> tuple[str, ...]:
    """Run what has to run, in order, and reuse the rest.

    Args:
        stages: in their order.
        recipe: the recipe.
        run: its directory.
        console: for what a person should see.
        make_checks: gives the checks of the run, such as the class `pipeline.preflight.Preflight`.
        until: stop after this stage.
        force: run this stage again.
        donors: other run directories; a stage that one of them has finished from the same inputs is taken over.
        rivals: recipes of other runs with the same cache; see `StageContext`.
        ahead: given the plan, once the checks before the first stage have passed.
        began: given the name of each stage that begins, rather than being reused.

    Returns:
        The stages that ran; the others were reused, taken over or skipped.

    Raises:
        UsageError: `force` names a stage that would not be reached.
        TmkdError: a stage failed; its record says so. A gate that fails also withdraws the bundle of an earlier recipe.
    """
    needed = needed_stages(stages, recipe)
    _check_force(stages, needed, until, force)
    with run.held():
        run.remove_temporaries()
        run.recover_kept()
        for damage in run.damages():
            console.warn(damage)
        checks = _checks(make_checks, stages, recipe, run, console, until, force)
        with shown_by(console.track), console.track("checking what the stages need", None):
            checks.before_first_stage(_certain(stages, run, force, donors))
        if ahead is not None:
            ahead(_plan_ahead(stages, recipe, run, console, until, force))
        write_lock(run, recipe)
        ran: list[str] = []
        for stage in stages:
            reason = stage.skipped(recipe)
            if reason is None:
                stage.prepare(recipe, console)
                forced = stage.name == force
                if _run_or_reuse(stage, recipe, run, console, needed, donors, rivals, checks, began, forced=forced):
                    ran.append(stage.name)
                    write_lock(run, recipe)
            elif (record := run.record(stage.name)) is None or record.status != "done":
                # What was done under another method stays, for the day it is asked for again.
                run.write_record(StageRecord(stage.name, "skipped", fingerprint="", message=reason))
            if stage.name == until:
                break
        return tuple(ran)


def _plan_ahead(
    stages: "Sequence[Stage]",
    recipe: "Recipe",
    run: RunDirectory,
    console: "Console",
    until: str | None,
    force: str | None,
) -> list[PlannedStage]:
    """The plan up to the last stage that is asked for."""
    for stage in stages:
        if stage.skipped(recipe) is None:
            stage.prepare(recipe, console)
    names = [stage.name for stage in stages]
    reached = names if until is None else names[: names.index(until) + 1]
    return [step for step in plan(stages, recipe, run, force) if step.stage in reached]


def _checks(
    make_checks: "MakeChecks",
    stages: "Sequence[Stage]",
    recipe: "Recipe",
    run: RunDirectory,
    console: "Console",
    until: str | None,
    force: str | None,
) -> "Checks":
    """The checks of the stages on the way."""
    names = [stage.name for stage in stages]
    reached = names if until is None else names[: names.index(until) + 1]
    wanted = [stage.name for stage in stages if stage.name in reached and stage.skipped(recipe) is None]

    def pending() -> list[str]:
        return [step.stage for step in plan(stages, recipe, run, force) if step.action not in ("reuse", "skip")]

    return make_checks(recipe, run, wanted, pending, console.warn)


def _certain(
    stages: "Sequence[Stage]", run: RunDirectory, force: str | None, donors: Sequence[RunDirectory]
) -> list[str]:
    """The stages that run whatever the ones before them give, as far as it is known without reading their outputs."""

    def finished(name: str) -> bool:
        records = (directory.record(name) for directory in (run, *donors))
        return any(record is not None and record.status == "done" for record in records)

    return [stage.name for stage in stages if stage.name == force or not finished(stage.name)]


def _check_force(stages: "Sequence[Stage]", needed: set[str], until: str | None, force: str | None) -> None:
    names = [stage.name for stage in stages]
    if force is None:
        return
    if force not in needed:
        raise UsageError(f"--force {force}: the recipe has no need of this stage")
    if until is not None and names.index(force) > names.index(until):
        raise UsageError(f"--force {force}: the run stops before, at --until {until}")


def _run_or_reuse(
    stage: "Stage",
    recipe: "Recipe",
    run: RunDirectory,
    console: "Console",
    needed: set[str],
    donors: Sequence[RunDirectory],
    rivals: "Sequence[Recipe]",
    checks: "Checks",
    began: "Callable[[str], None]",
    *,
    forced: bool,
) -> bool:
    """Whether the stage ran."""
    from pipeline.runner.stage import StageContext
    from pipeline.runner.together import run_stage

    inputs = stage_inputs(stage, recipe, run, needed)
    record = run.record(stage.name)
    if forced:
        decision = PlannedStage(stage.name, "run", ("forced",))
    elif record is None:
        decision = PlannedStage(stage.name, "run", ())
    else:
        decision = decide(stage, run, record, inputs)
    if decision.action == "reuse":
        console.say(f"── {stage.name}: reused")
        return False
    if not forced and (donor := _donor(stage, digest(inputs), donors)) is not None:
        with _kept_until_done(stage, run):
            run.adopt(*donor, stage.extra_outputs)
        console.say(f"── {stage.name}: taken over from {donor[0].path}")
        return False
    if stage.upstream(recipe):
        with shown_by(console.track), console.track("checking what training needs", None):
            checks.before_training()
    console.heading(f"{stage.name}{': ' if decision.why else ''}{brief(decision.why)}")
    began(stage.name)
    before = run.seconds_spent(record) if record is not None and decision.action == "continue" else 0.0
    fresh = StageRecord(stage.name, "running", digest(inputs), inputs, seconds=round(before, 1))
    started = time.monotonic() - before
    with _kept_until_done(stage, run) if decision.action != "continue" else nullcontext():
        run.write_record(fresh)
        try:
            with interrupts_kept(), shown_by(console.track), console.track(stage.name, None):
                summary = run_stage(stage, StageContext(recipe, run, console, fresh.fingerprint, tuple(rivals)))
        except Exception as error:
            if isinstance(error, GateError):
                run.discard_kept(stage.name)
                withdraw_bundle(run, stage.name)
            seconds = round(time.monotonic() - started, 1)
            raised = _told(error, stage.name)
            message = str(raised) or type(raised).__name__
            missed = isinstance(error, GateError)
            failed = replace(fresh, status="failed", seconds=seconds, message=message, gate=missed)
            with suppress(UnavailableError):  # the disk that failed the stage may have no room for this either
                run.write_record(failed)
            if raised is not error:
                raise raised from error
            raise
        run.remove_temporaries()
        outputs = run.hash_outputs(stage.name, stage.extra_outputs, stage.local)
        seconds = round(time.monotonic() - started, 1)
        run.write_record(replace(fresh, status="done", outputs=outputs, seconds=seconds, summary=summary))
    earlier = f", {before:.1f} s of them before it was interrupted" if before >= 0.05 else ""
    console.say(f"   {stage.name} done in {seconds:.1f} s{earlier}")
    return True


def _told(error: Exception, stage: str) -> Exception:
    """The error itself; where memory ran out, one that says in which stage; where another process of the training was
    lost, one that says so."""
    if not is_out_of_memory(error):
        if not is_one_of_several():
            return error
        from pipeline.distributed.group import as_lost_process

        return as_lost_process(error, this_rank())
    return UnavailableError(f"{stage}: {describe_out_of_memory(error)}", remedy=REMEDY)


@contextmanager
def _kept_until_done(stage: "Stage", run: RunDirectory) -> Iterator[None]:
    """Clear the way for a stage that starts over, and keep what it had made before until the block ends well.

    If the block fails, or is interrupted, before the stage has made a file, all that was there is brought back as it
    was: folder, extra outputs, record. A gate that fails brings nothing back.
    """
    record = run.record(stage.name)
    try:
        run.set_aside(stage.name, stage.extra_outputs)
        run.remove_outputs(stage.name, stage.extra_outputs)
        yield
    except BaseException as error:
        if record is not None and run.is_bare(stage.name) and not isinstance(error, GateError):
            run.put_back(stage.name)
        else:
            run.discard_kept(stage.name)
        raise
    run.discard_kept(stage.name)


def _donor(stage: "Stage", fingerprint: str, donors: Sequence[RunDirectory]) -> tuple[RunDirectory, StageRecord] | None:
    """The first run that has finished this very stage, undamaged, with its record."""
    for donor in donors:
        record = donor.record(stage.name)
        if record is None or record.status != "done" or record.fingerprint != fingerprint:
            continue
        if donor.damaged_output(record) is None:
            return donor, record
    return None
