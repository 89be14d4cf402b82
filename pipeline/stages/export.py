"""Stage `export`: the chosen student as ONNX files, every number in them traced back to the student."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exporters import __version__
from exporters.core.files import write_json
from pipeline.console import Console
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.artifacts import (
    BUILT_FROM,
    ENGINES_FILE,
    IRS_FILE,
    VARIANTS_FILE,
    artifact_context,
    engine_settings,
    openvino_version,
)
from pipeline.stages.shared.images import calibration_batches
from pipeline.stages.shared.inputs import IMAGE_KEYS, Data, read_data

if TYPE_CHECKING:
    from exporters.artifacts.fp32 import Fp32
    from exporters.artifacts.variants import Variant
    from exporters.quantize import Calibration
    from exporters.student.student import TrainedStudent
    from exporters.tensorrt.progress import Progress

AUDIT = "audit.json"


class ExportStage(Stage):
    """Writes `export/model.onnx` and `audit.json`; for variants `model.*.onnx` and `variants.json`; for engines
    `engines/*.plan`, their sidecars, and `engines.json`; for OpenVINO `openvino/*` and `openvino.json`.
    """

    name = "export"
    libraries = (
        "torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy", "tensorrt",
        "tensorrt-rtx",
    )  # fmt: skip

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """A student that passed; variants are also calibrated and judged on images."""
        return (*(("data",) if recipe.export.variants else ()), "distill", "validate")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """What the files are asked to be, what they say of themselves, and what variants must keep to."""
        variants = recipe.export.variants
        images = ("parity.provider", *IMAGE_KEYS) if variants else ()
        calibration = ("export.onnx.calibration",) if _has_int8(recipe) else ()
        gates = [f"parity.{name.partition('.')[0]}" for name in variants]
        files = ("name", "export.onnx.opset", "export.onnx.precision", "export.onnx.cam", "bundle.licence")
        built = BUILT_FROM if recipe.export.engines else ()
        irs = ("export.openvino.precision",) if recipe.export.irs else ()
        made = settings(recipe, *files, *images, *calibration, *gates, *built, *irs)
        return {**made, **openvino_version(recipe), "version": __version__}

    def run(self, context: StageContext) -> dict[str, Any]:
        """Export, trace every initializer back to the student's own parameters, search each variant, build engines."""
        from exporters.artifacts.fp32 import make_fp32
        from exporters.student.student import load_student

        recipe, folder = context.recipe, self.folder(context)
        student = load_student(context.run.folder("distill") / "chosen")
        asked, licence = recipe.export.onnx, recipe.bundle.licence
        fp32 = make_fp32(
            student, folder, asked.opset, name=recipe.name, licence=licence, cam=asked.cam, say=context.console.say
        )
        write_json(folder / AUDIT, {"initializers": fp32.entries, "operators": fp32.operators})
        figures: dict[str, Any] = {"bytes": len(fp32.shipped), "opset": fp32.opset, "initializers": len(fp32.entries)}
        variants = self._variants(context, student, fp32) if recipe.export.variants else {}
        if recipe.export.irs:
            figures["openvino"] = self._irs(context, fp32.shipped)
        if recipe.export.engines:
            figures["engines"] = self._engines(context, variants)
        return figures

    def _irs(self, context: StageContext, model: bytes) -> dict[str, int]:
        """Write OpenVINO IR into `openvino/` and `openvino.json`; gives the bytes of each."""
        from exporters.artifacts.openvino import make_irs

        recipe, folder = context.recipe, self.folder(context)
        made = make_irs(
            recipe.export.irs,
            model,
            folder,
            required=recipe.export.openvino.when == "required",
            say=context.console.say,
            warn=context.console.warn,
        )
        write_json(folder / IRS_FILE, {precision: ir.to_json() for precision, ir in made.items()})
        return {ir.file: len(ir.xml) + len(ir.weights) for ir in made.values() if not ir.not_made}

    def _variants(self, context: StageContext, student: "TrainedStudent", fp32: "Fp32") -> "dict[str, Variant]":
        """Write each variant and `variants.json`."""
        from exporters.artifacts.variants import make_variants

        recipe, folder, data = context.recipe, self.folder(context), read_data(context)
        variants = make_variants(
            recipe.export.variants,
            *fp32.base,
            folder,
            artifact_context(context, student, data),
            _calibration(recipe, data) if _has_int8(recipe) else None,
            fp32.cam,
        )
        write_json(folder / VARIANTS_FILE, {name: variant.to_json() for name, variant in variants.items()})
        return variants

    def _engines(self, context: StageContext, variants: "Mapping[str, Variant]") -> dict[str, int]:
        """Build the engines into `engines/` and write `engines.json`; gives their sizes in bytes.

        The timing cache is kept in the run's cache, for the next build.
        """
        from exporters.artifacts.engines import make_engines

        recipe, folder = context.recipe, self.folder(context)
        made = make_engines(
            recipe.export.engines,
            variants,
            folder,
            engine_settings(recipe),
            library=recipe.export.tensorrt.library,
            cache=context.run.cache / "tensorrt",
            required=recipe.export.tensorrt.when == "required",
            track=lambda name: _bar(context.console, name),
            say=context.console.say,
            warn=context.console.warn,
        )
        write_json(folder / ENGINES_FILE, {precision: engine.to_json() for precision, engine in made.items()})
        return {engine.file: engine.sidecar["plan"]["size"] for engine in made.values() if engine.sidecar is not None}


@contextmanager
def _bar(console: Console, name: str) -> "Iterator[Progress]":
    with console.track(f"building {name}", 100) as bar:
        done = 0

        def progress(_phase: str, share: float) -> None:
            nonlocal done
            now = int(100 * share)
            bar.advance(now - done)
            done = now

        yield progress


def _has_int8(recipe: Recipe) -> bool:
    return any(name.startswith("int8") for name in recipe.export.variants)


def _calibration(recipe: Recipe, data: Data) -> "Calibration":
    from exporters.quantize import Calibration

    asked = recipe.export.onnx.calibration
    return Calibration(lambda: calibration_batches(data, asked.images), asked.method, asked.percentile)
