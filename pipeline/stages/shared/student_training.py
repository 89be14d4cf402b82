"""Training a student as a recipe says, from its teachers to the files of the student; for all stages that train one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.core.files import write_json
from pipeline.distill.registry import METHODS, needs_stages
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import StageContext, settings
from pipeline.runner.together import together
from pipeline.stages.shared.bottleneck import describe_bottleneck
from pipeline.stages.shared.file_identity import class_names_digest, weights_file
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, Data, read_data
from pipeline.stages.shared.networks import build_student, student_preprocessing
from pipeline.stages.shared.teacher_cache import cached_teacher, student_augmentation
from pipeline.stages.shared.teacher_runtime import run_by
from pipeline.stages.shared.teachers import read_anchors, read_teacher, student_views
from pipeline.stages.shared.whole_images import weighed_by_whole_images

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.distill.task import DistillationTask
    from pipeline.models.build import Model
    from pipeline.tmkd.teacher import MultiViewTeacher


STUDENT_LIBRARIES = (*TRAINING_LIBRARIES, "open_clip_torch", "safetensors")
"""Distributions that a trained student follows from."""

YARDSTICKS = frozenset({"student.baseline", "distill.on_no_gain", "distill.reference"})
"""Settings of what the student is compared with, which change nothing of its training."""

_SAVING = "train.checkpoint."
"""How often the state of a training is saved, which changes nothing of it either."""


def student_upstream(recipe: Recipe) -> tuple[str, ...]:
    """The stages that `train_student` reads: index and teachers, as far as the method uses them."""
    if not any(METHODS[each.method].needs_teacher for each in recipe.distill.candidates):
        return ("data",)
    return ("data", "teacher", "text", *(("fusion",) if recipe.distill.is_fitted else ()))


def student_parameters(recipe: Recipe) -> Mapping[str, Any]:
    """The settings that `train_student` follows from: everything about the student, its method and its schedule."""
    plain = ("distill.method", "distill.ce", "distill.teacher_cache")
    taught = ("distill", *run_by(recipe), "teacher.text.anchors", "teacher.visual.classifier")
    method = plain if recipe.distill.method == "ce" else taught
    names = ("teacher.text.class_names",) if _has_anchors(recipe) else ()
    followed = settings(recipe, "seed", "student", *method, *names, "train", "data.augment", "data.decode", *IMAGE_KEYS)
    if followed.get("distill.teacher_cache.share") == "seeds":  # the seed of the cycle's augmentation
        followed |= settings(recipe, "data.split_seed")
    followed = {key: value for key, value in followed.items() if not key.startswith(("distill.auto.", _SAVING))}
    if not recipe.distill.may_use_tmkd:  # the views may be the visual teacher's affair
        followed = {key: value for key, value in followed.items() if not key.startswith("distill.views")}
    return {key: value for key, value in followed.items() if key not in YARDSTICKS | {"distill.teacher_cache.max_gb"}}


def student_files(recipe: Recipe) -> Mapping[str, str]:
    """The student's first weights, the anchors and how their classes are called, as far as they are files."""
    student, anchors = recipe.student, recipe.teacher.text.anchors
    found = weights_file(student.weights, student.sha256, "student")
    return found | (weights_file(anchors or "") | class_names_digest(recipe) if _has_anchors(recipe) else {})


def student_modules(recipe: Recipe) -> tuple[str, ...]:
    """The chosen method's modules, or those of each candidate, which are found by name."""
    names = {name for each in recipe.distill.candidates for name in (each.method, each.base) if name is not None}
    return tuple(METHODS[name].module.partition(":")[0] for name in sorted(names))


def _has_anchors(recipe: Recipe) -> bool:
    contrasts = recipe.distill.may_use_tmkd and recipe.distill.contrast.weight > 0
    return contrasts and recipe.teacher.text.anchors is not None


@together
def train_student(context: StageContext, label: str, folder: Path, rivals: Sequence[Recipe] = ()) -> dict[str, Any]:
    """Train the student of `context.recipe`, and write `chosen/`, `final/` and `history.json` into a folder.

    A student of another recipe than the run's is trained with `dataclasses.replace(context, recipe=other)`; the other
    recipe has the same data, and the teachers that its method needs are in the run directory. Nothing of the training
    depends on `label` or `folder`: the same recipe gives the same student, bit for bit, whichever stage asks.

    Args:
        context: of the stage.
        label: name of the training in `metrics.jsonl`; the stage's own name, or `<stage>/<student>` where a stage
            trains several.
        folder: the stage's own, or one below it. It also keeps the checkpoint, so that an interrupted training goes on
            after its last epoch.
        rivals: recipes of students that will be trained under the same key of the teacher cache; it keeps for them
            what they use. Of no effect on this student. Empty: those of the context.

    Returns:
        For the record of the stage: `chosen_epoch` (from 1), `validation_top1` of that epoch in [0, 1],
        `images_per_second` (median over the epochs), `device`, `teacher_runtimes` (one for each
        deployed teacher).

    Raises:
        GateError: training diverged.
        UsageError: networks that the method cannot work with.
        UnavailableError: weights or a device that are not to be had.
    """
    from exporters.student.student import save_student
    from pipeline.stages.shared.training import discard_checkpoint, train
    from pipeline.training.device import describe_device, make_fabric
    from pipeline.training.step import Training

    recipe, data = context.recipe, read_data(context)
    fabric = make_fabric(recipe.device, recipe.train.precision)
    anchors, teacher = None, None
    if METHODS[recipe.distill.method].needs_teacher:
        teacher, anchors = read_teacher(context, fabric), read_anchors(context, data)
    student = build_student(recipe, len(data.index.classes))
    for note in student.notes:
        context.console.say(note)
    with (
        weighed_by_whole_images(context, data, teacher, fabric.device) as weighed,
        cached_teacher(context, data, weighed, fabric, rivals or context.rivals) as cached,
    ):
        training = Training(
            name="student",
            task=_task(recipe, data, student, teacher, anchors),
            loader=data.loader,
            augmentation=student_augmentation(recipe, data),
            settings=recipe.train,
            seed=recipe.seed,
            teacher=cached or weighed,
            views=student_views(recipe, teacher),
            warmup_epochs=recipe.distill.warmup_epochs(recipe.train.epochs),
        )
        folder.mkdir(parents=True, exist_ok=True)
        fitted = train(context, label, training, fabric, folder)
    if not context.leads:
        return {}
    preprocessing = student_preprocessing(recipe, student.mean, student.std)
    for which, state in (("chosen", fitted.chosen_state), ("final", fitted.final_state)):
        training.task.load_state_dict(state)
        network = student.tapped.network
        classes, target = data.index.classes, folder / which
        save_student(network, student.architecture, classes, preprocessing, target, name=recipe.name)
    history = {
        "method": recipe.distill.method,
        "base": recipe.distill.base if recipe.distill.method == "tmkd" else None,
        "chosen_epoch": fitted.chosen_epoch,
        "stopped_early": fitted.stopped_early,
        "epochs": [{k: v for k, v in row.items() if k != "time"} for row in fitted.history],
        "weights": student.weights.source if student.weights else "none",
        "weights_sha256": student.weights.sha256 if student.weights else None,
    }
    write_json(folder / "history.json", history)
    discard_checkpoint(context, label, folder)
    context.console.say(
        f"student {recipe.student.model}: epoch {fitted.chosen_epoch} of {len(fitted.history)} was chosen,"
        f" validation top-1 {100 * fitted.chosen_score:.2f} %"
    )
    loader, device = data.loader, fabric.device.type
    spent = describe_bottleneck(recipe, fitted.history, device, loader.workers, loader.fits)
    context.console.say(f"student {recipe.student.model}: {spent}")
    return {
        "chosen_epoch": fitted.chosen_epoch,
        "validation_top1": fitted.chosen_score,
        "images_per_second": float(np.median([row["time"]["images_per_second"] for row in fitted.history])),
        "device": describe_device(fabric),
        **({} if teacher is None else {"teacher_runtimes": [each.to_json() for each in teacher.decisions]}),
    }


def _task(
    recipe: Recipe,
    data: Data,
    student: "Model",
    teacher: "MultiViewTeacher | None",
    anchors: "Tensor | None",
) -> "DistillationTask":
    """The student under the recipe's method, whose own weights follow from the seed."""
    import torch

    from pipeline.distill.build import build_method
    from pipeline.distill.memory import TrainingSplit
    from pipeline.distill.task import DistillationTask
    from pipeline.randomness import generator
    from pipeline.training.class_weights import class_weights

    labels = data.index.splits["train"].labels
    weights = class_weights(recipe.train.class_weights, labels, data.index.classes, "train")
    if teacher is not None:
        student.tapped.tap_stages = needs_stages(recipe.distill.method, recipe.distill.base)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator(recipe.seed, "initialisation of the method").integers(2**63)))
        method = build_method(
            recipe.distill,
            student.tapped.shape,
            teacher.visual.shape if teacher is not None else None,
            anchors,
            recipe.train.label_smoothing,
            TrainingSplit(labels, recipe.seed),
            weights,
        )
    return DistillationTask(student.tapped, method)
