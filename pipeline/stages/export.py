"""Stage `export`: the chosen student as ONNX files, every number in them traced back to the student."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporters.artifacts import lines
from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import write_bytes, write_json
from exporters.core.progress import working
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared import engines
from pipeline.stages.shared.images import calibration_batches, golden_images, validation_batches
from pipeline.stages.shared.inputs import IMAGE_KEYS, Data, read_data

if TYPE_CHECKING:
    from exporters.quantize import Calibration

AUDIT = "audit.json"
VARIANTS = "variants.json"


class ExportStage(Stage):
    """Writes `export/model.onnx` and `audit.json`; for variants `model.*.onnx` and `variants.json`; for engines
    `engines/*.plan`, their sidecars, and `engines.json`.
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
        files = ("export.onnx.opset", "export.onnx.precision", "bundle.licence")
        built = engines.BUILT_FROM if recipe.export.engines else ()
        return settings(recipe, *files, *images, *calibration, *gates, *built)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Export, explain every initializer by the student's own parameters, search each variant, build engines."""
        from exporters.audit import audit_export
        from exporters.onnx.export import export_onnx
        from exporters.student.student import load_student

        recipe, folder = context.recipe, self.folder(context)
        student = load_student(context.run.folder("distill") / "chosen")
        opset, licence = recipe.export.onnx.opset, recipe.bundle.licence
        with working("model.onnx: being converted"):
            exported = export_onnx(student, folder / "model.onnx", opset, licence=licence)
        model = exported.path.read_bytes()
        with working("model.onnx: every number is looked up in the student"):
            initializers = audit_export(model, student)
        write_json(folder / AUDIT, {"initializers": initializers, "operators": exported.operators})
        context.console.say(
            f"model.onnx: {exported.size / 1e6:.2f} MB, opset {exported.opset}; {lines.traced(len(initializers))}"
        )
        figures: dict[str, Any] = {"bytes": exported.size, "opset": exported.opset, "initializers": len(initializers)}
        described = self._variants(context, model, initializers) if recipe.export.variants else {}
        if recipe.export.engines:
            figures["engines"] = engines.make(context, described)
        return figures

    def _variants(self, context: StageContext, model: bytes, initializers: list[dict[str, Any]]) -> dict[str, Any]:
        """Write each variant and `variants.json`; gives the content of the latter."""
        from exporters.artifacts.variants import VARIANTS as VARIANT_KINDS
        from exporters.artifacts.variants import make_variant
        from exporters.parity import Evidence
        from exporters.runtimes import TorchRuntime
        from exporters.student.student import load_student

        recipe, folder, data = context.recipe, self.folder(context), read_data(context)
        student = load_student(context.run.folder("distill") / "chosen")
        evidence = Evidence(TorchRuntime(student), lambda: validation_batches(data))
        calibration = _calibration(recipe, data) if _has_int8(recipe) else None
        images = golden_images(data)
        described: dict[str, Any] = {}
        for name in recipe.export.variants:
            kind = VARIANT_KINDS[name]
            try:
                variant = make_variant(
                    name,
                    model,
                    initializers,
                    evidence,
                    engines.parity_gate(recipe, kind.precision),
                    images,
                    provider=recipe.parity.provider,
                    calibration=calibration,
                )
            except (GateError, UnavailableError) as error:
                described[name] = {"file": kind.file, "not_made": error.message}
                context.console.warn(f"{kind.file} could not be made: {error.message}")
                continue
            write_bytes(folder / variant.file, variant.data)
            described[name] = variant.to_json()
            context.console.say(lines.made(variant))
        write_json(folder / VARIANTS, described)
        return described


def _has_int8(recipe: Recipe) -> bool:
    return any(name.startswith("int8") for name in recipe.export.variants)


def _calibration(recipe: Recipe, data: Data) -> "Calibration":
    from exporters.quantize import Calibration

    asked = recipe.export.onnx.calibration
    return Calibration(lambda: calibration_batches(data, asked.images), asked.method, asked.percentile)
