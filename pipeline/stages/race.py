"""Stage `race`: `distill.method: auto` chooses its method, by successive halving on the validation split."""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.core.disk import free_bytes
from exporters.core.errors import GateError
from exporters.core.files import read_json, write_json
from exporters.core.wording import byte_count
from exporters.parity.intervals import wilson_interval
from pipeline.distill.race.candidates import PLAIN, Candidate, by_promise
from pipeline.distill.race.halving import rung_epochs, survivors, winner
from pipeline.distill.race.refusals import workable_candidates
from pipeline.distill.registry import METHODS
from pipeline.distill.settings import AUTO, DistillSettings
from pipeline.recipe.needs import has_views, looks_at_whole_images, needs_image_tower, needs_teacher
from pipeline.recipe.references import shortened
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.runner.together import together
from pipeline.stages.shared.cache_size import cache_bytes, is_allowed, is_served, kept_outputs, seen_bytes
from pipeline.stages.shared.history import chosen_score
from pipeline.stages.shared.inputs import Data, read_data
from pipeline.stages.shared.networks import build_student, read_classifier
from pipeline.stages.shared.race import RACE, SECONDS, race_table, race_verdict
from pipeline.stages.shared.student_training import (
    STUDENT_LIBRARIES,
    student_files,
    student_modules,
    student_parameters,
    student_upstream,
    train_student,
)
from pipeline.stages.shared.teacher_cache import discard_cache
from pipeline.stages.shared.teachers import read_anchors, read_choice, text_width

if TYPE_CHECKING:
    from pipeline.models.outputs import NetworkShape

_TRAININGS = ".trainings"
"""Folder of the candidates' students and checkpoints, hidden because nothing of it is a result."""
_MOST_PASSES = 10
"""Epochs in the augmentation cycle of a race whose recipe has no teacher cache."""
_CACHE_SHARE = 0.25
"""Of the free disk that such a race may fill."""
_NOT_RACED = ("distill.on_no_gain", "distill.reference")
"""Settings about what happens to the winner."""


class RaceStage(Stage):
    """Writes `race/race.json`, and `race/seconds.json` beside it."""

    name = "race"
    libraries = STUDENT_LIBRARIES
    local = (f"race/{SECONDS}",)

    def skipped(self, recipe: Recipe) -> str | None:
        """Only `auto` has to choose."""
        return (
            None if recipe.distill.method == AUTO else f"distill.method says what is trained: {recipe.distill.method}"
        )

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """What the candidates learn from."""
        return student_upstream(recipe)

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Everything that the candidates follow from, and the rules of the race."""
        followed = {**student_parameters(recipe), **settings(recipe, "distill.auto")}
        return {key: value for key, value in followed.items() if key not in _NOT_RACED}

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """Those that a student is trained from."""
        return student_files(recipe)

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """The candidates' methods, which are found by name."""
        return student_modules(recipe)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Train the candidates rung by rung, keep the best, write who won.

        Raises:
            UsageError: the networks suit no method, or not one that the recipe names.
            GateError: plain training diverged.
        """
        recipe, folder = context.recipe, self.folder(context)
        data = read_data(context)
        student, teacher = _shapes(context, len(data.index.classes))
        candidates, refused = _workable(context, data, student, teacher)
        for name, reason in refused.items():
            context.console.say(f"race: {name} is left out: {reason}")
        lengths = rung_epochs(recipe.train.epochs, recipe.distill.auto.rungs, recipe.distill.auto.reduction)
        given = recipe.distill.teacher_cache.passes
        passes = given or _own_passes(context, data, teacher, candidates, lengths[-1])
        entrants = {each.name: each for each in candidates}
        rungs: list[dict[str, Any]] = []
        seconds: dict[str, list[float]] = {name: [] for name in entrants}
        racing = tuple(entrants)
        images, promising = len(data.index.splits["validation"]), by_promise(candidates, recipe.distill.base)
        for number, epochs in enumerate(lengths, start=1):
            recipes = {name: race_recipe(recipe, entrants[name], epochs, passes) for name in racing}
            results: dict[str, dict[str, Any]] = {}
            for name in sorted(racing, key=lambda name: not has_views(recipes[name])):  # the widest fill the cache
                context.console.say(f"race, rung {number} of {len(lengths)}: {name}")
                place = folder / _TRAININGS / f"{epochs} epochs" / name
                results[name], took = _train(
                    replace(context, recipe=recipes[name]), name, place, tuple(recipes.values())
                )
                seconds[name].append(took)
            scores = {name: _standing(results[name]) for name in racing if results[name]["validation_top1"] is not None}
            last = number == len(lengths)
            kept = (
                (winner(scores, images, promising),)
                if last
                else survivors(scores, recipe.distill.auto.reduction, images, promising)
            )
            ordered = [{"candidate": name, **results[name], "goes_on": name in kept} for name in racing]
            rungs.append({"epochs": epochs, "results": ordered})
            racing = kept
        race = {"winner": racing[0], "left_out": refused, "teacher_cache_passes": passes, "rungs": rungs}
        write_json(folder / RACE, race)
        write_json(folder / SECONDS, seconds)
        title, columns, rows, words = race_table(race, seconds)
        context.console.table(title, columns, rows, words=words)
        context.console.say(race_verdict(race))
        shutil.rmtree(folder / _TRAININGS, ignore_errors=True)
        taught = [each for each in candidates if METHODS[each.method].needs_teacher]
        if passes and not given and taught:  # all of them share one
            discard_cache(replace(context, recipe=race_recipe(recipe, taught[0], lengths[-1], passes)))
        return {"winner": race["winner"], "candidates": len(candidates)}


def race_recipe(recipe: Recipe, candidate: Candidate, epochs: int, passes: int) -> Recipe:
    """The recipe of a candidate in a rung: its method, a schedule that ends after `epochs`, a cache of `passes`."""
    distill = recipe.distill.of(candidate)
    warmup = round(distill.warmup_epochs(recipe.train.epochs) * epochs / recipe.train.epochs)
    cache = distill.teacher_cache.model_copy(update={"passes": passes})
    distill = distill.model_copy(update={"warmup": warmup, "teacher_cache": cache})
    return recipe.model_copy(update={"distill": distill, "train": shortened(recipe.train, epochs)})


def _train(context: StageContext, name: str, place: Path, rivals: Sequence[Recipe]) -> tuple[dict[str, Any], float]:
    """Train a candidate, unless an earlier attempt of the stage has done so.

    Returns:
        Its line of `race.json`, and the seconds of the attempt that finished it.
    """
    history, measured = place / "history.json", place / "measured.json"
    if not history.is_file():
        started = time.monotonic()
        try:
            train_student(context, f"race/{place.parent.name}/{name}", place, rivals)
        except GateError as error:  # a loss is not finite
            if name == PLAIN:
                raise
            context.console.warn(f"race: {name} is out: {error.message}")
            write_json(history, {"chosen_epoch": 0, "epochs": [], "message": error.message})
        seconds = round(time.monotonic() - started, 1)
    else:
        context.console.say(f"   {name}: finished before")
        seconds = 0.0
    found = read_json(history)
    if not measured.is_file():
        write_json(measured, {"seconds": seconds, "nll": _nll(context, place / "chosen") if found["epochs"] else None})
    figures = read_json(measured)
    if not found["epochs"]:
        left = {"validation_top1": None, "validation_nll": None, "interval": None, "chosen_epoch": None}
        return left | {"message": found["message"]}, figures["seconds"]
    top1 = chosen_score(found)
    images = len(read_data(context).index.splits["validation"])
    line = {
        "validation_top1": top1,
        "validation_nll": figures["nll"],
        "interval": list(wilson_interval(round(top1 * images), images)),
        "chosen_epoch": found["chosen_epoch"],
    }
    return line, figures["seconds"]


@together
def _nll(context: StageContext, student: Path) -> float | None:
    """Negative log-likelihood of a student's answers on validation, in nats; None where a logit is not finite."""
    from pipeline.distributed.collectives import this_part
    from pipeline.evaluation.metrics import predict, score
    from pipeline.training.device import make_fabric

    data, recipe = read_data(context), context.recipe
    device = make_fabric(recipe.device, "fp32").device
    network = read_classifier(student, recipe.student.classifier, "student").to(device).eval()
    batches = data.loader.evaluation_batches("validation", data.geometry, part=this_part())
    return score(*predict(lambda images: network(images).logits, batches, device, shared=True))["nll"]


def _standing(line: Mapping[str, Any]) -> tuple[float, float]:
    """What candidates are ranked by, higher is better: accuracy on validation, of equals the likelihood."""
    nll = line["validation_nll"]
    return line["validation_top1"], -math.inf if nll is None else -nll


def _shapes(context: StageContext, classes: int) -> "tuple[NetworkShape, NetworkShape | None]":
    """Of the student, and of the teacher where a candidate learns from one."""
    recipe, teacher = context.recipe, None
    student = build_student(recipe, classes).tapped.shape
    if needs_teacher(recipe):
        visual = recipe.teacher.visual
        teacher = read_classifier(context.run.folder("teacher"), visual.classifier, "teacher.visual").shape
    return student, teacher


def _workable(
    context: StageContext, data: Data, student: "NetworkShape", teacher: "NetworkShape | None"
) -> tuple[tuple[Candidate, ...], dict[str, str]]:
    """The candidates that the networks allow, and why the others are left out."""
    import torch

    from pipeline.distill.build import build_method
    from pipeline.distill.memory import TrainingSplit

    recipe, anchors = context.recipe, read_anchors(context, data)
    split = TrainingSplit(data.index.splits["train"].labels, recipe.seed)

    def build(distill: DistillSettings) -> object:
        return build_method(distill, student, teacher, anchors, recipe.train.label_smoothing, split)

    with torch.random.fork_rng(devices=[]):
        return workable_candidates(recipe.distill, build)


def _own_passes(
    context: StageContext, data: Data, teacher: "NetworkShape | None", candidates: Sequence[Candidate], epochs: int
) -> int:
    """Epochs of a teacher cache for the race alone; 0 where none would be used, the disk has little room, or the recipe
    allows less."""
    recipe = context.recipe
    passes = min(epochs, _MOST_PASSES)
    recipes = [race_recipe(recipe, each, epochs, passes) for each in candidates]
    if teacher is None:
        return 0
    if not (served := [each for each in recipes if is_served(each)]):
        return 0
    kept, views, width = list(kept_outputs(served, teacher)), len(read_choice(context).names), 0
    images, looks = len(data.index.splits["train"]), needs_image_tower(recipe) and views > 1
    seen = seen_bytes(recipe, images, views, text_width(context)) if looks and looks_at_whole_images(recipe) else 0
    if looks and not seen:
        kept, width = [*kept, "embeddings"], text_width(context)
    needed = cache_bytes(recipes[0], kept, images, views, teacher, width)
    free, cache = free_bytes(context.run.path), recipe.distill.teacher_cache
    if needed <= _CACHE_SHARE * free and is_allowed(cache, needed + seen):
        return passes
    room = f"of the {byte_count(free)} that are free"
    if not is_allowed(cache, needed + seen):
        both = ", with what CLIP says of whole images," if seen else ""
        room = f"and{both} is more than distill.teacher_cache.max_gb allows ({cache.max_gb:g} GB)"
    context.console.say(
        f"race: without a teacher cache, which would take {byte_count(needed)} {room}; each candidate asks the teacher"
        " again"
    )
    return 0
