"""The work of each stage as amounts of a few operations; nothing is measured here, and no torch is loaded.

An amount is a number of images unless its operation says otherwise. `pipeline.costs.probe` has the price of each.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from pipeline.costs.counts import Counts
from pipeline.distill.race.halving import FEWEST_SURVIVORS, rung_epochs
from pipeline.distill.registry import METHODS
from pipeline.distill.settings import AUTO
from pipeline.evaluation.sampling import images_needed
from pipeline.recipe.needs import has_views, needs_image_tower, needs_teacher, needs_text_embeddings
from pipeline.recipe.references import baseline_epochs, trains_baseline, trains_reference
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.fusion import TRAIN_SAMPLE, VALIDATION_SAMPLE
from pipeline.stages.shared.cache_size import is_served
from pipeline.tmkd.prompts import Prompts
from pipeline.training.settings import steps_an_epoch

Operation = Literal[
    "index", "decode", "augment", "prepare",
    "plain", "method", "base", "student",
    "teacher fit", "teacher", "look",
    "text fit", "views", "features", "clip", "prompts",
    "write", "read",
    "checks", "stage", "teachers", "comparison", "export", "variant", "bundle",
]  # fmt: skip
"""What is paid for:

* `index`: an image hashed and decoded, by the stage `data`; `decode`, `augment`, `prepare`: an image read from its
  store, varied for training, cropped for evaluation;
* `plain`, `method`, `base`: a training step of the student, per image: from labels alone, under the method without its
  teacher, under TMKD's base; `student`: an image through it without gradient;
* `teacher fit`: a training step of the visual teacher, per image; `teacher`: an image through it; `look`: an image in
  every view through both teachers, and the views made;
* `text fit`: a training step of the text teacher, per image or per row of features; `views`: all views of an image,
  where no look makes them; `features`, `clip`: an image in one view through the tower that gives features, and through
  CLIP with its text side at hand; `prompts`: a text through CLIP's text tower;
* `write`, `read`: an image's outputs of all views into the teacher cache, and from it;
* `checks`: once a run, before its first training; `stage`: once a stage, whatever it does; `teachers`: once a stage
  that asks them; `comparison`, `export`, `variant`, `bundle`: once.
"""
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

Amounts = Mapping[str, float]

VIEWS_IF_OPEN = 3
"""Views that a search is expected to settle on, where `distill.views: auto` leaves it open."""


class _Work(dict[str, float]):
    """Amounts that add up."""

    def add(self, operation: Operation, amount: float) -> None:
        self[operation] = self.get(operation, 0.0) + amount


def work_of(recipe: Recipe, counts: Counts, *, cached: bool) -> dict[str, Amounts]:
    """The work of each stage that the recipe does not skip; what an early stop may save is not taken off.

    Args:
        recipe: the recipe.
        counts: of its images.
        cached: whether decoded images are kept in memory, as for a small data set.

    Returns:
        Stage → operation → amount.
    """
    work = {name: _Work() for name in ("data", "distill", "validate", "export", "parity", "bundle")}
    _data(work["data"], counts)
    if trains_baseline(recipe):
        work["baseline"] = _training(recipe, counts, cached, baseline_epochs(recipe), "plain")
    if needs_teacher(recipe):
        work["teacher"] = _teacher(recipe, counts, cached)
        work["fusion"] = _fusion(recipe, counts)
        if needs_text_embeddings(recipe):
            work["text"] = _text(recipe, counts, cached)
    looked = 0
    if recipe.distill.method == AUTO:
        work["race"], looked = _race(recipe, counts, cached)
    _distill(work["distill"], recipe, counts, cached, looked)
    if trains_reference(recipe):
        work["reference"] = _reference(recipe, counts, cached)
    students, shown = 2 + trains_baseline(recipe) + trains_reference(recipe), counts.validation + counts.test
    work["validate"].add("decode", (1 if cached else students) * shown)
    for operation in ("prepare", "student"):
        work["validate"].add(operation, students * shown)  # type: ignore[arg-type]
    work["validate"].add("comparison", 1)
    work["export"].add("export", 1)
    for operation in ("decode", "prepare"):
        work["parity"].add(operation, counts.validation)  # type: ignore[arg-type]
    # The student and its file on all images, and again on a few at small batch sizes.
    work["parity"].add("student", 2 * counts.validation + 2 * min(counts.validation, 256))
    for _ in recipe.export.variants:
        work["export"].add("variant", 1)
        work["parity"].add("student", 2 * counts.validation)
    work["bundle"].add("bundle", 1)
    for name, amounts in work.items():
        amounts.add("stage", 1)
        if name in ("fusion", "race", "distill", "reference") and needs_teacher(recipe):
            amounts.add("teachers", 1)
    return {name: dict(amounts) for name, amounts in work.items()}


def _data(work: _Work, counts: Counts) -> None:
    work.add("index", counts.images)


def _training(recipe: Recipe, counts: Counts, cached: bool, epochs: int, step: Operation) -> _Work:
    """Epochs of the student, each validated."""
    work = _Work()
    trained = _images_an_epoch(counts, recipe.train.batch_size)
    _load(work, counts, cached, epochs, trained)
    work.add(step, epochs * trained)
    work.add("student", epochs * counts.validation)
    return work


def _load(work: _Work, counts: Counts, cached: bool, epochs: int, trained: int) -> None:
    """The loader's part of a training: what fits into memory is decoded once."""
    work.add("decode", (1 if cached else epochs) * (trained + counts.validation))
    work.add("augment", epochs * trained)
    work.add("prepare", epochs * counts.validation)


def _images_an_epoch(counts: Counts, batch: int) -> int:
    """Training images of an epoch, whose last batch is left out where it is not full."""
    return min(counts.train, steps_an_epoch(counts.train, batch) * batch)


def _teacher(recipe: Recipe, counts: Counts, cached: bool) -> _Work:
    work, fit = _Work(), recipe.teacher.visual.fit
    if fit is not None:
        trained = _images_an_epoch(counts, fit.batch_size)
        _load(work, counts, cached, fit.epochs, trained)
        work.add("teacher fit", fit.epochs * trained)
        work.add("teacher", fit.epochs * counts.validation)
    _evaluate(work, counts.validation, "teacher", 1)
    return work


def _evaluate(work: _Work, images: int, operation: Operation, views: int) -> None:
    work.add("decode", images)
    work.add("prepare", images)
    work.add(operation, images * views)


def _text(recipe: Recipe, counts: Counts, cached: bool) -> _Work:
    work, text = _Work(), recipe.teacher.text
    if not text.has_image_tower:
        return work
    views = _possible_views(recipe)
    if text.weights == "fit":
        trained = _images_an_epoch(counts, text.fit.batch_size)
        if text.tower is None:
            _load(work, counts, cached, text.fit.epochs, trained)
            work.add("clip", text.fit.epochs * counts.validation)
        else:
            _evaluate(work, counts.train, "features", views)
            _evaluate(work, counts.validation, "features", 1)
            work.add("views", counts.train)
        work.add("text fit", text.fit.epochs * trained)
    _evaluate(work, counts.validation, "clip", views)
    work.add("views", counts.validation)
    if text.has_text_tower:
        work.add("prompts", texts_of(recipe) * counts.classes)
    return work


def texts_of(recipe: Recipe) -> int:
    """Texts of a class that the text teacher reads: the templates of its views, and one random prompt a view."""
    kinds = {"rgb": "rgb"}
    if has_views(recipe):
        kinds |= {name: view.kind for name, view in recipe.distill.possible_views.items()}
    prompts = Prompts.load(recipe.teacher.text.prompts)
    return len({text for name, kind in kinds.items() for text in prompts.templates(name, kind)}) + len(kinds)


def _fusion(recipe: Recipe, counts: Counts) -> _Work:
    """A sample of training, and of validation and test as many images as an accuracy of a half takes; where views are
    searched for, in every candidate until they are found."""
    work, share = _Work(), _share_of_views(recipe)
    train = min(counts.train, TRAIN_SAMPLE)
    validation, test = (min(images, images_needed(0, 0)) for images in (counts.validation, counts.test))
    _evaluate(work, train + validation + test, "look", 1)
    if share < 1:
        work.add("look", (share - 1) * (max(0, validation - VALIDATION_SAMPLE) + test))
    return work


def may_cache(recipe: Recipe) -> bool:
    """Whether a teacher cache holds all that the method takes; candidates of a race that take more are left out."""
    return recipe.distill.method == AUTO or is_served(recipe)


def _possible_views(recipe: Recipe) -> int:
    return 1 + (len(recipe.distill.possible_views) if has_views(recipe) else 0)


def _share_of_views(recipe: Recipe) -> float:
    """The views that a student's teacher is expected to see, as a share of those that `look` is priced for."""
    possible = _possible_views(recipe)
    return min(VIEWS_IF_OPEN, possible) / possible if recipe.distill.views == "auto" else 1.0


def _taught(work: _Work, recipe: Recipe, images: int, epochs: int, cycle: int, looked: int) -> None:
    """What the teachers cost a student: looks at what no cache holds, and reads of what one does."""
    share = _share_of_views(recipe)
    if not cycle or not may_cache(recipe):
        work.add("look", share * epochs * images)
        return
    new = max(0, min(epochs, cycle) - looked)
    work.add("look", share * new * images)
    work.add("write", share * new * images)
    work.add("read", share * (epochs - new) * images)


def _distill(work: _Work, recipe: Recipe, counts: Counts, cached: bool, looked: int) -> None:
    epochs, method = recipe.train.epochs, recipe.distill.method
    taught = method == AUTO or METHODS[method].needs_teacher
    work.update(_training(recipe, counts, cached, epochs, "method" if taught else "plain"))
    if taught:
        cycle = recipe.distill.teacher_cache.passes
        _taught(work, recipe, _images_an_epoch(counts, recipe.train.batch_size), epochs, cycle, min(looked, cycle))
        if not looked:
            _see_whole(work, recipe, counts)


def _see_whole(work: _Work, recipe: Recipe, counts: Counts) -> None:
    """Where weights follow from whole images, CLIP looks at each of them once, in every view."""
    if needs_image_tower(recipe) and recipe.distill.weighting.seen == "image":
        _evaluate(work, counts.train, "clip", _possible_views(recipe))
        work.add("views", counts.train)


def _reference(recipe: Recipe, counts: Counts, cached: bool) -> _Work:
    """TMKD's base: it finds what it needs of rgb in the cache that the student has filled."""
    epochs = recipe.train.epochs
    work = _training(recipe, counts, cached, epochs, "base")
    images = epochs * _images_an_epoch(counts, recipe.train.batch_size)
    if recipe.distill.teacher_cache.passes and may_cache(recipe):
        work.add("read", images / _possible_views(recipe))
    else:
        work.add("teacher", images)
    return work


def _race(recipe: Recipe, counts: Counts, cached: bool) -> tuple[_Work, int]:
    """All candidates for the first rung's epochs, the survivors for the next; and the epochs that the cache then holds.

    Every taught candidate is priced as the one that needs most. A race without a cache of the recipe's makes its own.
    """
    auto, work = recipe.distill.auto, _Work()
    lengths = rung_epochs(recipe.train.epochs, auto.rungs, auto.reduction)
    given = recipe.distill.teacher_cache.passes
    cycle, looked = given or min(lengths[-1], 10), 0
    _see_whole(work, recipe, counts)
    taught = len(recipe.distill.candidates) - 1
    images = _images_an_epoch(counts, recipe.train.batch_size)
    for epochs in lengths:
        plain = _training(recipe, counts, cached, epochs, "plain")
        for amounts, times in ((plain, 1), (_training(recipe, counts, cached, epochs, "method"), taught)):
            for operation, amount in amounts.items():
                work.add(operation, times * amount)  # type: ignore[arg-type]
        new = max(0, min(epochs, cycle) - looked)
        share = _share_of_views(recipe)
        work.add("look", share * new * images)
        work.add("write", share * new * images)
        work.add("read", share * (taught * epochs - new) * images)
        looked += new
        _evaluate(work, (1 + taught) * counts.validation, "student", 1)
        taught = max(FEWEST_SURVIVORS, taught // auto.reduction)
    return work, looked if given else 0
