"""Stage `distill`: the teacher is measured, view by view and fused, and then the student is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.files import read_json, write_json
from pipeline.distill.registry import METHODS
from pipeline.recipe.schema import Recipe
from pipeline.stages.base import Stage, StageContext, settings
from pipeline.stages.inputs import (
    EVALUATION_BATCH,
    IMAGE_KEYS,
    TRAINING_LIBRARIES,
    Data,
    build_student,
    make_views,
    read_classifier,
    read_data,
    read_text_teacher,
    student_preprocessing,
)
from pipeline.stages.teacher import weights_file

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

    from pipeline.models.build import Model
    from pipeline.tmkd.teacher import MultiViewTeacher

TRAIN_SAMPLE = 1000
"""Training images on which the teacher is measured, at most: enough to see whether fusion helps."""


class DistillStage(Stage):
    """Writes the students `chosen/` and `final/`, `distill/teacher_accuracy.json` and `distill/history.json`."""

    name = "distill"
    libraries = (*TRAINING_LIBRARIES, "open_clip_torch", "safetensors")

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """Index and teachers, as far as the method uses them."""
        return ("data", "teacher", "text") if METHODS[recipe.distill.method].needs_teacher else ("data",)

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Everything about the student, its method and its schedule."""
        method = ("distill.method",) if recipe.distill.method == "ce" else ("distill", "teacher.text.anchors")
        return settings(recipe, "seed", "student", *method, "train", "data.augment", *IMAGE_KEYS)

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """The student's first weights and the anchors, as far as they are files."""
        return weights_file(recipe.student.weights) | weights_file(recipe.teacher.text.anchors or "")

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """The chosen method, which is found by name."""
        names = {recipe.distill.method} | ({recipe.distill.base} if recipe.distill.method == "tmkd" else set())
        return tuple(METHODS[name].module.partition(":")[0] for name in sorted(names))

    def run(self, context: StageContext) -> dict[str, Any]:
        """Measure the teacher, train the student, save what was chosen and what came last."""
        from exporters.student import save_student
        from pipeline.stages.training import discard_checkpoint, train
        from pipeline.training.device import describe_device, make_fabric

        recipe, data, folder = context.recipe, read_data(context), self.folder(context)
        fabric = make_fabric(recipe.device, recipe.train.precision)
        anchors, teacher = None, None
        if METHODS[recipe.distill.method].needs_teacher:
            teacher, anchors = read_teacher(context, data, fabric)
            measured = _measure_before_training(context, data, teacher, fabric, folder / "teacher_accuracy.json")
            show_teacher(context, measured)
        student = build_student(recipe, len(data.index.classes))
        job = self._job(context, data, student, teacher, anchors, fabric)
        fitted = train(context, self.name, job, fabric)
        preprocessing = student_preprocessing(recipe, student.mean, student.std)
        for which, state in (("chosen", fitted.chosen_state), ("final", fitted.final_state)):
            job.module.load_state_dict(state)
            network = student.tapped.network
            classes, target = data.index.classes, folder / which
            save_student(network, student.architecture, classes, preprocessing, target, name=recipe.name)
        history = {
            "chosen_pass": fitted.chosen_pass,
            "passes": [{k: v for k, v in row.items() if k != "images_per_second"} for row in fitted.history],
        }
        write_json(folder / "history.json", history)
        discard_checkpoint(context, self.name)
        context.console.say(
            f"student {recipe.student.model}: pass {fitted.chosen_pass} of {recipe.train.epochs} is chosen,"
            f" validation top-1 {100 * fitted.chosen_score:.2f} %"
        )
        return {
            "chosen_pass": fitted.chosen_pass,
            "validation_top1": fitted.chosen_score,
            "images_per_second": float(np.median([row["images_per_second"] for row in fitted.history])),
            "device": describe_device(fabric),
        }

    def _job(
        self,
        context: StageContext,
        data: Data,
        student: "Model",
        teacher: "MultiViewTeacher | None",
        anchors: "Tensor | None",
        fabric: "Fabric",
    ) -> Any:
        import torch

        from pipeline.distill.build import build_method
        from pipeline.distill.task import DistillationTask
        from pipeline.randomness import generator
        from pipeline.stages.training import student_job

        recipe = context.recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator(recipe.seed, "initialisation of the method").integers(2**63)))
            method = build_method(
                recipe.distill,
                student.tapped.shape,
                teacher.visual.shape if teacher is not None else None,
                anchors,
                recipe.train.label_smoothing,
            )
        return student_job(
            "student",
            DistillationTask(student.tapped, method),
            data,
            recipe.train,
            data.augmentation(recipe, recipe.seed),
            fabric,
            seed=recipe.seed,
            teacher=teacher,
            warmup=recipe.distill.warmup_passes(recipe.train.epochs),
        )


def read_teacher(context: StageContext, data: Data, fabric: "Fabric") -> tuple["MultiViewTeacher", "Tensor | None"]:
    """The multi-view teacher on the device, and the text anchors `[K, D]` of line 11 where the contrast is used."""
    from pipeline.models.embeddings import read_embeddings
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.weighers import make_weigher, uniform_weigher

    recipe = context.recipe
    visual = read_classifier(context.run.folder("teacher"), recipe.data.image_size).to(fabric.device)
    views = make_views(recipe)
    text = read_text_teacher(context)
    weigher, anchors = uniform_weigher, text.embeddings[0] if text is not None else None
    if len(views) > 1:
        clip = text.clip.to(fabric.device) if text is not None and text.clip is not None else None
        embeddings = text.embeddings.to(fabric.device) if text is not None else None
        weigher = make_weigher(recipe.distill.weighting, clip, embeddings)
    if recipe.distill.method == "tmkd" and recipe.teacher.text.anchors is not None:
        anchors = read_embeddings(Path(recipe.teacher.text.anchors).expanduser(), data.index.classes)
    return MultiViewTeacher(visual, views, weigher, recipe.distill.weighting.temperature), anchors


def _measure_before_training(
    context: StageContext, data: Data, teacher: "MultiViewTeacher", fabric: "Fabric", path: Path
) -> dict[str, Any]:
    """Accuracy on validation and on a part of training, once: a resumed run reads what it found before."""
    from pipeline.evaluation.teacher import measure_teacher

    if path.is_file():
        return read_json(path)
    measured = {}
    for split in ("train", "validation"):
        batches = data.loader.evaluation_batches(split, data.preprocessing, EVALUATION_BATCH, limit=TRAIN_SAMPLE)
        measured[split] = measure_teacher(teacher, batches, fabric.device)
    write_json(path, measured)
    return measured


def show_teacher(context: StageContext, measured: Mapping[str, Any]) -> None:
    """The teacher's accuracy as a table, and whether fusion helps."""
    from pipeline.evaluation.teacher import fusion_verdict

    names = sorted(measured["validation"]["views"], key="rgb".__ne__)
    columns = ["top-1 of the teacher, %", *names, "fused", "oracle", "images"]
    rows = [
        [
            split,
            *(f"{100 * values['views'][name]:.2f}" for name in names),
            *(f"{100 * values[name]:.2f}" for name in ("fused", "oracle")),
            f"{values['images']:,}",
        ]
        for split, values in measured.items()
    ]
    context.console.table("The teacher before training (fused: without labels; oracle: with them)", columns, rows)
    verdict = fusion_verdict(measured["validation"])
    (context.console.warn if "NOT" in verdict else context.console.say)(verdict)
