"""Stage `validate`: the verdict on the student; gates on validation, figures on the untouched test split."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.core.errors import GateError
from exporters.core.files import atomic_path, write_json
from pipeline.recipe.needs import needs_teacher
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.inputs import (
    IMAGE_KEYS,
    TRAINING_LIBRARIES,
    Data,
    read_data,
    read_json_output,
)
from pipeline.stages.shared.networks import read_classifier

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class ValidateStage(Stage):
    """Writes `validate/verdict.json` and `validate/predictions.npz`."""

    name = "validate"
    libraries = TRAINING_LIBRARIES

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The data, the student, and the teacher's measurement where there is a teacher."""
        return ("data", "fusion", "distill") if needs_teacher(recipe) else ("data", "distill")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """The gates; what else counts is in the files of the stages before."""
        return settings(recipe, "validate", *IMAGE_KEYS)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Score the chosen and the final student, then judge.

        Raises:
            GateError: a gate failed; the figures are written all the same.
        """
        from exporters.parity.chance import describe_score, has_learned
        from pipeline.evaluation.gates import ABOVE_CHANCE, judge_chance, judge_student
        from pipeline.evaluation.metrics import per_class_accuracy, score
        from pipeline.training.device import make_fabric

        recipe, data, folder = context.recipe, read_data(context), self.folder(context)
        fabric = make_fabric(recipe.device, "fp32")
        predictions: dict[str, np.ndarray] = {}
        students: dict[str, Any] = {}
        for which in ("chosen", "final"):
            logits = _logits(context, data, which, fabric)
            students[which] = {split: score(*values) for split, values in logits.items()}
            for split, (values, labels) in logits.items():
                predictions[f"{which}.{split}"] = values.argmax(axis=1).astype(np.int32)
                predictions[f"labels.{split}"] = labels.astype(np.int32)
            if which == "chosen":
                students["per_class_test"] = dict(
                    zip(data.index.classes, per_class_accuracy(*logits["test"], len(data.index.classes)), strict=True)
                )
        teacher = None
        if needs_teacher(recipe):
            measured = read_json_output(context, "fusion", "accuracy.json")
            teacher = {split: measured[split] for split in ("validation", "test")}
        chosen = students["chosen"]
        gates = judge_chance(recipe.gates, chosen["validation"]) + judge_student(
            recipe.gates,
            chosen["validation"]["top1"],
            teacher["validation"]["views"]["rgb"] if teacher else None,
        )
        verdict = {
            "passed": all(gate.passed for gate in gates),
            "learned": {split: has_learned(chosen[split]) for split in ("validation", "test")},
            "gates": [gate.to_json() for gate in gates],
            "chosen_pass": read_json_output(context, "distill", "history.json")["chosen_pass"],
            "student": students,
            "teacher": teacher,
        }
        write_json(folder / "verdict.json", verdict)
        with atomic_path(folder / "predictions.npz") as temporary, temporary.open("wb") as stream:
            np.savez(stream, **predictions)  # type: ignore[arg-type]
        for gate in gates:
            context.console.say(gate.describe())
        figures = f"{folder / 'verdict.json'} has the figures."
        accuracy = describe_score(chosen["validation"], "validation")
        failed = [gate for gate in gates if not gate.passed]
        if any(gate.key == ABOVE_CHANCE for gate in failed):
            raise GateError(
                f"the student is at chance level: {accuracy}",
                remedy="Train longer, look at the labels (`data inspect`) and at the losses (metrics.jsonl), or set"
                f" more images aside (data.validation); validate.min_top1=0 lets any student pass. {figures}",
            )
        if failed:
            raise GateError(
                f"the student does not pass: {'; '.join(gate.describe() for gate in failed)}",
                remedy=f"Train longer, or lower a gate that asks too much. {figures}",
            )
        if not has_learned(chosen["validation"]):
            context.console.warn(f"the student is at chance level: {accuracy}; it passes by the recipe's gates alone")
        return {which: students[which]["test"]["top1"] for which in ("chosen", "final")}


def _logits(
    context: StageContext, data: Data, which: str, fabric: "Fabric"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from pipeline.evaluation.metrics import predict

    folder = context.run.folder("distill") / which
    student = read_classifier(folder, context.recipe.student.classifier, "student").to(fabric.device).eval()
    logits = {
        split: predict(
            lambda images: student(images).logits,
            data.loader.evaluation_batches(split, data.geometry),
            fabric.device,
        )
        for split in ("validation", "test")
    }
    if which == "chosen" and not all(np.isfinite(values).all() for values, _labels in logits.values()):
        raise GateError(
            "the student does not pass: its logits are not finite",
            remedy="Training diverged: lower train.lr, or set train.gradient_clip; then run again.",
        )
    return logits
