"""Whether the student can be exported as the recipe asks: tried with the untrained network, before the first epoch."""

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from exporters.bundle.manifest import ENGINE_SOURCES, variant_of
from exporters.core.errors import GateError, TmkdError, UnavailableError, UsageError
from exporters.images.preprocessing import Preprocessing
from exporters.student.architectures import Architecture
from pipeline.preflight.base import Report, Subject
from pipeline.recipe.schema.recipe import Recipe

if TYPE_CHECKING:
    from exporters.student.student import TrainedStudent

CAM = "cam"
"""Stands for the class activation maps among the variants' names."""

_OPSETS = (20, 21)  # tried in this order where the recipe's fails
_KNOWN_TO_WORK = "torchvision:mobilenet_v2, timm:convnext_atto, cifar:resnet20"


def check(subject: Subject, report: Report) -> None:
    """Export and audit the untrained student, and the first file of each variant.

    What would end the run after the training is an error; a variant that the run can do without is a warning, and so is
    everything where the run ends before its export.

    Raises:
        UsageError: the student, or a file that is required, cannot be had. An opset that the remedy names was tried.
    """
    from pipeline.stages.shared.networks import student_preprocessing

    recipe, model = subject.recipe, subject.student()
    preprocessing = student_preprocessing(recipe, model.mean, model.std)
    objections = _objections(
        json.dumps(model.architecture.to_json(), sort_keys=True),
        tuple(subject.classes),
        json.dumps(preprocessing.to_json(), sort_keys=True),
        recipe.export.onnx.opset,
        recipe.export.variants,
        recipe.export.onnx.cam,
    )
    for name, reason, remedy in objections:
        if name == CAM:
            error = UsageError(f"export.onnx.cam: {recipe.student.model} {reason}", remedy=remedy)
        elif name is None:
            error = UsageError(f"student.model: {recipe.student.model} {reason}", remedy=remedy)
        else:
            error = UsageError(f"{_key(recipe, name)}: {recipe.student.model} {reason}", remedy=remedy)
        if "export" in subject.stages and (name in {None, CAM} or _required(recipe, name)):
            report.add(error)
        else:
            report.warn(f"{error.message}. {remedy}")


def _required(recipe: Recipe, name: str) -> bool:
    engines = recipe.export.tensorrt.when == "required"
    sources = {variant_of(ENGINE_SOURCES[precision]) for precision in recipe.export.engines} if engines else set()
    return name in recipe.export.onnx.required or name in sources


def _key(recipe: Recipe, name: str) -> str:
    if not _required(recipe, name):
        return "export.onnx.precision"
    return "export.onnx.required" if name in recipe.export.onnx.required else "export.tensorrt.precision"


@lru_cache(maxsize=64)
def _objections(
    architecture: str, classes: tuple[str, ...], preprocessing: str, opset: int, variants: tuple[str, ...], cam: bool
) -> tuple[tuple[str | None, str, str], ...]:
    """(variant, `CAM`, or None for the fp32 file; what is wrong; remedy); kept, since arms and seeds ask the same.

    What a network weighs has no part in it, so that it is asked of one with random weights.
    """
    from exporters.artifacts.rehearsal import opset_that_works, rehearse, rehearse_cam, rehearse_variant
    from exporters.student.cam import WITH

    student = untrained_student(Architecture.from_json(json.loads(architecture)), classes, json.loads(preprocessing))
    size = student.preprocessing.size
    try:
        fp32 = rehearse(student, opset)
    except (GateError, UnavailableError) as error:
        other = opset_that_works(student, [each for each in _OPSETS if each != opset])
        remedy = (
            f"Choose another network, such as {_KNOWN_TO_WORK}; docs/exports.md lists what was tried."
            if other is None
            else f"Set export.onnx.opset: {other}, with which it was exported just now."
        )
        return ((None, f"cannot be exported at {size} × {size} with opset {opset} ({_reason(error)})", remedy),)
    found: list[tuple[str | None, str, str]] = []
    if cam:
        try:
            fp32 = rehearse_cam(student, fp32)
        except TmkdError as error:
            remedy = f"Set export.onnx.cam: false, or choose a network that has such maps: {WITH}."
            found.append((CAM, _without_subject(error, student), remedy))
    for name in variants:
        try:
            rehearse_variant(name, fp32, size)
        except TmkdError as error:
            remedy = f"Leave {name.partition('.')[0]} out, or choose another network, such as {_KNOWN_TO_WORK}."
            found.append((name, f"cannot be had as model.{name}.onnx ({_reason(error)})", remedy))
    return tuple(found)


def untrained_student(
    architecture: Architecture, classes: tuple[str, ...], preprocessing: dict[str, object]
) -> "TrainedStudent":
    """A student with random weights, always the same.

    Args:
        architecture: its network.
        classes: its labels.
        preprocessing: as `Preprocessing.to_json` gives it.
    """
    import torch

    from exporters.student.architectures import build
    from exporters.student.student import TrainedStudent

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build(architecture, len(classes)).eval()
    return TrainedStudent(module, list(classes), Preprocessing.from_json(preprocessing), architecture)


def _without_subject(error: TmkdError, student: "TrainedStudent") -> str:
    """What is wrong, as the rest of a sentence whose subject is the network."""
    reason, subject = _reason(error), f"{student.architecture.name} "
    if reason.startswith(subject):
        return reason.removeprefix(subject)
    return f"cannot be exported with class activation maps ({reason})"


def _reason(error: TmkdError) -> str:
    return error.message.splitlines()[0]
