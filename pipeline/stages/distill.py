"""Stage `distill`: the student is trained."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporters.core.files import atomic_directory, read_json, write_json
from pipeline.distill.race.candidates import PLAIN
from pipeline.distill.settings import AUTO
from pipeline.recipe.references import falls_back
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.history import chosen_score
from pipeline.stages.shared.race import decided_recipe, race_verdict, read_race
from pipeline.stages.shared.student_training import (
    STUDENT_LIBRARIES,
    student_files,
    student_modules,
    student_parameters,
    student_upstream,
    train_student,
)

NOT_SHIPPED = "distilled"
"""Below the stage's folder: the distilled student, where the plain one ships in its place."""


class DistillStage(Stage):
    """Writes the students `chosen/` and `final/`, and `distill/history.json`.

    `chosen/` is what ships. Under `distill.on_no_gain: fall_back` that is the plain student where it is more accurate
    on validation; the distilled one is then in `distilled/`. Under `distill.method: auto` the student is that of the
    method that won the race, or else the plain one too.
    """

    name = "distill"
    libraries = STUDENT_LIBRARIES

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """Index and teachers, as far as the method uses them; the race, and the plain student where it may ship."""
        if recipe.distill.method == AUTO:
            return (*student_upstream(recipe), "race", "baseline")
        return (*student_upstream(recipe), *(("baseline",) if falls_back(recipe) else ()))

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Everything about the student, its method and its schedule, and whether the plain student may ship."""
        choice = settings(recipe, "distill.on_no_gain") if falls_back(recipe) else {}
        return {**student_parameters(recipe), **choice}

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """The student's first weights, the anchors and how their classes are called, as far as they are files."""
        return student_files(recipe)

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """The method, or under `auto` each candidate's, which are found by name."""
        return student_modules(recipe)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Train the student, save what was chosen and what came last; let the plain student ship if need be."""
        folder, plain = self.folder(context), context.run.folder("baseline")
        race = read_race(context.run, context.recipe)
        if race is not None and race["winner"] == PLAIN:
            return _take_plain(context, folder, race_verdict(race))
        decided = decided_recipe(context.run, context.recipe)
        summary = train_student(replace(context, recipe=decided), self.name, folder)
        if falls_back(context.recipe):
            summary["ships"] = choose_student(context, folder, plain)
        return summary


def _take_plain(context: StageContext, folder: Path, why: str) -> dict[str, Any]:
    """Take the plain student, which won the race and is trained already, and the figures of its training."""
    plain, record = context.run.folder("baseline"), context.run.record("baseline")
    assert record is not None
    _copy_students(plain, folder)
    write_json(folder / "history.json", read_json(plain / "history.json") | {"ships": "plain", "why": why})
    context.console.say("plain training won the race: the student of the stage baseline is taken")
    return record.summary | {"ships": "plain"}


def choose_student(context: StageContext, folder: Path, plain: Path) -> str:
    """Put the student that is more accurate on validation where what ships is; of equals the distilled one.

    Args:
        context: of the stage.
        folder: where the distilled student is.
        plain: where the plain one is.

    Returns:
        `distilled` or `plain`; `history.json` says so too, and why.
    """
    distilled_history, plain_history = read_json(folder / "history.json"), read_json(plain / "history.json")
    ours, theirs = (chosen_score(history) for history in (distilled_history, plain_history))
    figures = f"on validation it reached {100 * ours:.2f} %, plain training {100 * theirs:.2f} %"
    if ours >= theirs:
        why = f"the distilled student is taken, not the plain one: {figures}"
        write_json(folder / "history.json", distilled_history | {"ships": "distilled", "why": why})
        context.console.say(why)
        return "distilled"
    why = f"trained from labels alone, because the distilled student was worse: {figures}"
    with atomic_directory(folder / NOT_SHIPPED) as kept:
        for which in ("chosen", "final"):
            shutil.copytree(folder / which, kept / which)
        write_json(kept / "history.json", distilled_history)
    _copy_students(plain, folder)
    write_json(folder / "history.json", plain_history | {"ships": "plain", "why": why})
    cause = "distill.method: auto" if context.recipe.distill.method == AUTO else "distill.on_no_gain: fall_back"
    context.console.warn(f"the plain student ships, {why} ({cause}); the distilled one is in {folder / NOT_SHIPPED}")
    return "plain"


def _copy_students(source: Path, target: Path) -> None:
    for which in ("chosen", "final"):
        with atomic_directory(target / which) as folder:
            shutil.copytree(source / which, folder, dirs_exist_ok=True)
