"""Stage `validate`: the verdict on the student; gates on validation, figures on the untouched test split."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.core.errors import GateError
from exporters.core.files import atomic_path, write_json
from pipeline.distill.race.candidates import PLAIN
from pipeline.recipe.needs import needs_teacher
from pipeline.recipe.references import (
    base_name,
    baseline_epochs,
    trains_baseline,
    trains_reference,
)
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.distill import NOT_SHIPPED
from pipeline.stages.shared.calibration import calibrate_student, calibration_in_words, shipped_error
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, Data, read_data, read_json_output
from pipeline.stages.shared.networks import read_classifier
from pipeline.stages.shared.race import read_race

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor


OF_THE_FILE = ("validate.max_latency_ms", "validate.max_size_mb")
"""Gates on the exported file, which the stage `bundle` judges."""


class ValidateStage(Stage):
    """Writes `validate/verdict.json` and `validate/predictions.npz`."""

    name = "validate"
    libraries = TRAINING_LIBRARIES
    shared = True

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The data, the students, and the teacher's measurement where there is a teacher."""
        teacher = ("teacher", "fusion") if needs_teacher(recipe) else ()
        return ("data", "baseline", *teacher, "race", "distill", "reference")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """The gates, and what the student is compared with; what else counts is in the files of the stages before."""
        compared = ("student.baseline", "distill.on_no_gain", "distill.reference")
        distilled = compared if recipe.distill.method != "ce" else ()
        epochs = ("train.epochs",) if trains_baseline(recipe) else ()  # how short the baseline is
        own = {key: value for key, value in settings(recipe, "validate").items() if key not in OF_THE_FILE}
        return own | settings(recipe, *distilled, *epochs, *IMAGE_KEYS)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Score the chosen and the final student and those that it is compared with, then judge.

        Raises:
            GateError: a gate failed; the figures are written all the same.
        """
        from exporters.parity.chance import are_too_few, has_learned, not_above_chance
        from pipeline.evaluation.gates import (
            ABOVE_CHANCE,
            NO_GAIN,
            judge_calibration,
            judge_chance,
            judge_classes,
            judge_gain,
            judge_student,
        )
        from pipeline.evaluation.metrics import per_class_accuracy, score
        from pipeline.evaluation.sanity import faults
        from pipeline.training.device import make_fabric

        recipe, data, folder = context.recipe, read_data(context), self.folder(context)
        fabric = make_fabric(recipe.device, "fp32")
        predictions: dict[str, np.ndarray] = {}
        students: dict[str, Any] = {}
        calibration: dict[str, Any] | None = None
        wrong: list[str] = []
        for which in ("chosen", "final"):
            logits = _logits(context, data, context.run.folder("distill") / which, fabric)
            if which == "chosen" and not all(np.isfinite(values).all() for values, _labels in logits.values()):
                raise GateError(
                    "the student does not pass: its logits are not finite",
                    remedy="Training diverged: lower train.lr, or set train.gradient_clip; then run again.",
                )
            students[which] = {split: score(*values) for split, values in logits.items()}
            if which == "chosen" and recipe.gates.calibrate:
                calibration = calibrate_student(context, logits, predictions)
            for split, (values, labels) in logits.items():
                _keep(predictions, f"{which}.{split}", values)
                predictions[f"labels.{split}"] = labels.astype(np.int32)
            if which == "chosen":
                wrong, classes = faults(*logits["test"]), data.index.classes
                students["per_class_test"], recalls = (
                    dict(zip(classes, per_class_accuracy(*logits[split], len(classes)), strict=True))
                    for split in ("test", "validation")
                )
        history = read_json_output(context, "distill", "history.json")
        compared = _compared(context, data, fabric, predictions, history.get("ships", "distilled"))
        gain = _gain(recipe, students["chosen"] if compared["distilled"] is None else compared["distilled"], compared)
        teacher = None
        if needs_teacher(recipe):
            measured = read_json_output(context, "fusion", "accuracy.json")
            teacher = {split: measured[split] for split in ("validation", "test")}
        chosen = students["chosen"]
        gates = judge_chance(recipe.gates, chosen["validation"]) + judge_student(
            recipe.gates,
            chosen["validation"]["top1"],
            # Of the whole split, where `fusion` may have measured a sample.
            read_json_output(context, "teacher", "report.json")["validation"]["top1"] if teacher else None,
        )
        gates += judge_classes(recipe.gates, recalls)
        gates += judge_calibration(recipe.gates, shipped_error(chosen["validation"]["ece"], calibration))
        if recipe.distill.method != "ce" and recipe.distill.on_no_gain == "fail":
            gates += judge_gain(gain)
        verdict = {
            "passed": all(gate.passed for gate in gates),
            "learned": {split: has_learned(chosen[split]) for split in ("validation", "test")},
            "gates": [gate.to_json() for gate in gates],
            "chosen_epoch": history["chosen_epoch"],
            "ships": history.get("ships", "distilled" if recipe.distill.method != "ce" else "plain"),
            "why": history.get("why"),
            "student": students,
            "calibration": calibration,
            "faults": wrong,
            **compared,
            "teacher": teacher,
            "corruptions": _corrupted(context, data, fabric) if recipe.gates.corruptions else None,
        }
        if not context.leads:
            return {}
        write_json(folder / "verdict.json", verdict)
        with atomic_path(folder / "predictions.npz") as temporary, temporary.open("wb") as stream:
            np.savez(stream, **predictions)  # type: ignore[arg-type]
        for gate in gates:
            context.console.say(gate.describe())
        if calibration is not None:
            context.console.say(calibration_in_words(calibration))
        _tell_gain(context, compared, gain)
        figures = f"{folder / 'verdict.json'} has the figures."
        measured = chosen["validation"]
        claim = not_above_chance("the student", measured, "validation")
        few = are_too_few(measured["correct"], measured["images"], measured["chance"])
        failed = [gate for gate in gates if not gate.passed]
        if any(gate.key == ABOVE_CHANCE for gate in failed):
            raise GateError(
                claim,
                remedy=(
                    "Set"
                    if few
                    else "Train longer, look at the labels (`data inspect`) and at the losses (metrics.jsonl), or set"
                )
                + f" more images aside (data.validation); validate.min_top1=0 lets any student pass. {figures}",
            )
        if [gate.key for gate in failed] == [NO_GAIN]:
            raise GateError(
                f"distillation gains nothing: {failed[0].describe()}",
                remedy="Take a stronger teacher or gentler weights (distill.ce.weight); distill.on_no_gain=fall_back"
                f" ships the plain student, and warn lets this one pass. {figures}",
            )
        if failed:
            raise GateError(
                f"the student does not pass: {'; '.join(gate.describe() for gate in failed)}",
                remedy=f"Train longer, or loosen a gate that asks too much. {figures}",
            )
        if not has_learned(chosen["validation"]):
            context.console.warn(f"{claim}; it passes by the recipe's gates alone")
        return {which: students[which]["test"]["top1"] for which in ("chosen", "final")}


def _keep(predictions: dict[str, np.ndarray], name: str, logits: np.ndarray) -> None:
    """A student's answers, int32, and how sure it is of each, float32."""
    from pipeline.evaluation.probabilities import log_probabilities

    predictions[name] = logits.argmax(axis=1).astype(np.int32)
    predictions[f"confidence.{name}"] = np.exp(log_probabilities(logits).max(axis=1)).astype(np.float32)


def _compared(
    context: StageContext, data: Data, fabric: "Fabric", predictions: dict[str, np.ndarray], ships: str
) -> dict[str, Any]:
    """The students that the distilled one is compared with, each scored on both splits; None for those that are not
    there. Their predictions are added to `predictions`.

    `plain` and `base` have the `gain` of the distilled student over them by split; `distilled` is the distilled
    student's score, where the plain one ships in its place. Where the plain one won the race of `auto`, there is no
    other.
    """
    from pipeline.evaluation.gain import paired_gain
    from pipeline.evaluation.metrics import score

    recipe, run = context.recipe, context.run
    race = read_race(run, recipe)
    won_by_plain = race is not None and race["winner"] == PLAIN
    folders = {
        "distilled": run.folder("distill") / NOT_SHIPPED / "chosen" if ships == "plain" and not won_by_plain else None,
        "plain": run.folder("baseline") / "chosen" if trains_baseline(recipe) and not won_by_plain else None,
        "base": run.folder("reference") / "chosen" if trains_reference(recipe) else None,
    }
    compared: dict[str, Any] = dict.fromkeys(folders)
    for name, folder in folders.items():
        if folder is None:
            continue
        logits = _logits(context, data, folder, fabric)
        compared[name] = {split: score(*values) for split, values in logits.items()}
        for split, (values, _labels) in logits.items():
            _keep(predictions, f"{name}.{split}", values)
    ours = "chosen" if compared["distilled"] is None else "distilled"
    for name in ("plain", "base"):
        if compared[name] is not None:
            compared[name]["gain"] = {
                split: paired_gain(
                    *(predictions[f"{student}.{split}"] == predictions[f"labels.{split}"] for student in (ours, name))
                )
                for split in ("validation", "test")
            }
    if compared["plain"] is not None:
        compared["plain"] |= {"epochs": baseline_epochs(recipe), "of": recipe.train.epochs}
    if compared["base"] is not None:
        compared["base"]["name"] = base_name(recipe)
    return compared


def _gain(recipe: Recipe, distilled: Mapping[str, Any], compared: Mapping[str, Any]) -> float | None:
    """The distilled student's validation accuracy less that of plain training; None where that is not known."""
    if recipe.distill.method == "ce":
        return None
    if compared["plain"] is not None:
        return float(compared["plain"]["gain"]["validation"]["mean"])
    given = recipe.student.baseline
    return float(distilled["validation"]["top1"]) - given if isinstance(given, int | float) else None


def _tell_gain(context: StageContext, compared: Mapping[str, Any], gain: float | None) -> None:
    """Whether the distilled student is better on validation than plain training, and what follows where it is not."""
    from pipeline.evaluation.gain import gain_in_words

    console, plain = context.console, compared["plain"]
    if gain is None:
        return
    if plain is None:
        words = f"against plain training, as student.baseline gives it: {100 * gain:+.2f} points"
    else:
        other = f"plain training ({plain['epochs']} of {plain['of']} epochs)"
        words = gain_in_words("the distilled student", other, plain["gain"]["validation"])
    if gain < 0 and context.recipe.distill.on_no_gain == "warn":
        console.warn(
            f"on validation: {words}. Take a stronger teacher or gentler weights, or set distill.on_no_gain=fall_back,"
            " which ships the student that is better"
        )
    else:
        console.say(f"on validation: {words}")


def _logits(
    context: StageContext, data: Data, folder: Path, fabric: "Fabric"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from pipeline.distributed.collectives import this_part
    from pipeline.evaluation.metrics import predict

    logits_of = _classifier(context, folder, fabric)
    return {
        split: predict(
            logits_of,
            data.loader.evaluation_batches(split, data.geometry, part=this_part()),
            fabric.device,
            shared=True,
        )
        for split in ("validation", "test")
    }


def _classifier(context: StageContext, folder: Path, fabric: "Fabric") -> "Callable[[Tensor], Tensor]":
    student = read_classifier(folder, context.recipe.student.classifier, "student").to(fabric.device).eval()
    return lambda images: student(images).logits


def _corrupted(context: StageContext, data: Data, fabric: "Fabric") -> dict[str, Any]:
    """The student that ships on corrupted test images."""
    from pipeline.distributed.collectives import this_part
    from pipeline.evaluation.corruptions import accuracy_under_corruptions

    logits_of = _classifier(context, context.run.folder("distill") / "chosen", fabric)
    batches = partial(data.loader.evaluation_batches, "test", data.geometry, part=this_part())
    measured = accuracy_under_corruptions(logits_of, batches, fabric.device, context.console, shared=True)
    context.console.say(f"student on corrupted test images: top-1 {100 * measured['mean_top1']:.2f} %")
    return measured
