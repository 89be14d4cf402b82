"""What a recipe says of artifacts, in the terms of `exporters.artifacts`; used by the stages `export` and `parity`."""

import importlib.metadata
from typing import TYPE_CHECKING

from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.images import golden_images, validation_batches
from pipeline.stages.shared.inputs import Data
from pipeline.stages.shared.parity_answers import asking_together

if TYPE_CHECKING:
    from exporters.artifacts.context import ArtifactContext
    from exporters.student.student import TrainedStudent
    from exporters.tensorrt import EngineSettings

VARIANTS_FILE, ENGINES_FILE, IRS_FILE = "variants.json", "engines.json", "openvino.json"
"""In the folder of the stage `export`: what was made."""

BUILT_FROM = tuple(
    f"export.tensorrt.{key}"
    for key in (
        "precision",
        "library",
        "batch",
        "workspace_mib",
        "version_compatible",
        "hardware_compatible",
        "compute_capabilities",
    )
)
"""The settings that a plan follows from."""


def artifact_context(context: StageContext, student: "TrainedStudent", data: Data) -> "ArtifactContext":
    """The student's logits on the validation split, and the recipe's rules for what ships."""
    from exporters.artifacts.context import ArtifactContext
    from exporters.parity import DEFAULT_GATES, Evidence, ParityGate
    from exporters.runtimes import TorchRuntime

    recipe = context.recipe
    evidence = Evidence(
        TorchRuntime(student),
        lambda: validation_batches(data),
        ask_together=asking_together(context),
        maps=recipe.export.onnx.cam,
    )
    return ArtifactContext(
        evidence,
        golden_images(data),
        {precision: ParityGate(**getattr(recipe.parity, precision).model_dump()) for precision in DEFAULT_GATES},
        recipe.parity.provider,
        requested=recipe.export.onnx.precision,
        required=recipe.export.onnx.required,
        keep_all=recipe.export.onnx.keep == "all",
        images_name="validation images",
        say=context.console.say,
        warn=context.console.warn,
    )


def openvino_version(recipe: Recipe) -> dict[str, str]:
    """The installed OpenVINO, which its files follow from; nothing where none are asked for."""
    if not recipe.export.irs:
        return {}
    try:
        return {"openvino": importlib.metadata.version("openvino")}
    except importlib.metadata.PackageNotFoundError:
        return {"openvino": "not installed"}


def engine_settings(recipe: Recipe) -> "EngineSettings":
    """The recipe's settings of engines."""
    from exporters.tensorrt import EngineSettings

    asked = recipe.export.tensorrt
    return EngineSettings(
        (asked.batch.min, asked.batch.opt, asked.batch.max),
        None if asked.workspace_mib is None else asked.workspace_mib * 2**20,
        asked.version_compatible,
        asked.hardware_compatible,
        tuple(asked.compute_capabilities),
    )


def check_machine(recipe: Recipe, *, run: bool) -> None:
    """Where engines are required: refuse a machine that cannot build them or, with `run`, cannot run them.

    Raises:
        UsageError, UnavailableError: as `exporters.artifacts.engines.check_machine`.
    """
    if recipe.export.tensorrt.when == "required":
        from exporters.artifacts.engines import check_library, check_machine

        check = check_machine if run else check_library
        check(engine_settings(recipe), recipe.export.tensorrt.library)
