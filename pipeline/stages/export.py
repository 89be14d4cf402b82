"""Stage `export`: the chosen student as one ONNX file, every number in it traced back to the student."""

from collections.abc import Mapping
from typing import Any

from exporters.files import write_json
from pipeline.recipe.schema import Recipe
from pipeline.stages.base import Stage, StageContext, settings


class ExportStage(Stage):
    """Writes `export/model.onnx` and `export/audit.json`."""

    name = "export"
    libraries = ("torch", "torchvision", "timm", "onnx", "onnxscript")

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """A student that passed."""
        return ("distill", "validate")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """What the file is asked to be, and what it says of itself."""
        return settings(recipe, "export", "bundle.licence")

    def run(self, context: StageContext) -> dict[str, Any]:
        """Export, then explain every initializer by the student's own parameters."""
        from exporters.audit import audit_export
        from exporters.onnx.export import export_onnx
        from exporters.student import load_student

        recipe, folder = context.recipe, self.folder(context)
        student = load_student(context.run.folder("distill") / "chosen")
        exported = export_onnx(student, folder / "model.onnx", recipe.export.onnx.opset, licence=recipe.bundle.licence)
        initializers = audit_export(exported.path.read_bytes(), student)
        write_json(folder / "audit.json", {"initializers": initializers, "operators": exported.operators})
        context.console.say(
            f"model.onnx: {exported.size / 1e6:.2f} MB, opset {exported.opset};"
            f" all {len(initializers)} initializers are the student's own"
        )
        return {"bytes": exported.size, "opset": exported.opset, "initializers": len(initializers)}
