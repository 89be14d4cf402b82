"""Stage `parity`: what ships equals the student, proved on the whole validation split."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporters.errors import GateError
from exporters.files import write_bytes, write_json
from pipeline.recipe.schema import Recipe
from pipeline.stages.base import Stage, StageContext, settings
from pipeline.stages.export import VARIANTS
from pipeline.stages.images import golden_images, validation_batches
from pipeline.stages.inputs import IMAGE_KEYS, read_data, read_json_output

if TYPE_CHECKING:
    from exporters.parity import Evidence, ParityReport

PARITY = "parity.json"
SHIPPED = "shipped.json"


class ParityStage(Stage):
    """Writes `parity/parity.json`, `parity/shipped.json`, and what failed to `parity/rejected/`."""

    name = "parity"
    libraries = ("torch", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow")

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The images, the student and its files."""
        return ("data", "distill", "export")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Bounds and runtime, and what is kept of what passes."""
        onnx = recipe.export.onnx
        gates = [f"parity.{precision}" for precision in ("fp32", *onnx.variants)]
        kept = ("export.onnx.keep", "export.onnx.required") if onnx.variants else ()
        return settings(recipe, "export.onnx.precision", "parity.provider", *gates, *kept, *IMAGE_KEYS)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Compare each file image by image, then judge.

        Raises:
            GateError: model.onnx is not the student, or a required variant failed; the reports are written all the
                same.
        """
        from exporters.parity import Evidence, ParityGate
        from exporters.runtimes import OnnxRuntime, TorchRuntime
        from exporters.student import load_student

        asked, folder, data = context.recipe.parity, self.folder(context), read_data(context)
        student = load_student(context.run.folder("distill") / "chosen")
        evidence = Evidence(TorchRuntime(student), lambda: validation_batches(data))
        candidate = OnnxRuntime(context.run.folder("export") / "model.onnx", asked.provider)
        report = evidence.report(candidate, ParityGate(**asked.fp32.model_dump()))
        about = {"split": "validation", "provider": candidate.provider}
        reports = {"fp32": {**about, **report.to_json()}}
        write_json(folder / PARITY, reports)
        if not report.passed:
            raise GateError(
                f"model.onnx is not the student: {'; '.join(report.failures)}",
                remedy=f"{folder / PARITY} names the ten worst images and the bounds that would have passed.",
            )
        context.console.say(_told("model.onnx", report))
        shipped = {"model.onnx": {"precision": "fp32", "golden_tolerance": 1e-4}}
        failed = self._variants(context, evidence, golden_images(data), about, reports, shipped)
        write_json(folder / PARITY, reports)
        write_json(folder / SHIPPED, shipped)
        if failed:
            raise GateError(
                f"{', '.join(failed)} must pass and did not: {reports[failed[0]]['reason']}",
                remedy=f"{folder / PARITY} says why; {folder / 'rejected'} holds what was made and failed. Without"
                " `export.onnx.required` the rest ships.",
            )
        whole = report.whole
        return {
            "top1_agreement": whole.top1_agreement,
            "max_scaled_error": whole.max_scaled_error,
            "shipped": sorted(shipped),
        }

    def _variants(
        self,
        context: StageContext,
        evidence: "Evidence",
        golden: Any,
        about: Mapping[str, Any],
        reports: dict[str, Any],
        shipped: dict[str, Any],
    ) -> list[str]:
        """Prove each variant, fill in `reports` and `shipped`; gives the precisions that must pass and did not."""
        from exporters.parity import ParityGate
        from exporters.variants import prove_variant

        recipe, folder, exported = context.recipe, self.folder(context), context.run.folder("export")
        described = read_json_output(context, "export", VARIANTS) if recipe.export.onnx.variants else {}
        model = (exported / "model.onnx").read_bytes()
        failed = []
        for precision in recipe.export.onnx.variants:
            file = described[precision]["file"]
            required = precision in recipe.export.onnx.required
            if "not_made" in described[precision]:
                reports[precision] = {"passed": False, "status": "not made", "reason": described[precision]["not_made"]}
                failed += [precision] if required else []
                continue
            data = (exported / file).read_bytes()
            verdict = prove_variant(
                precision,
                data,
                model,
                evidence,
                ParityGate(**getattr(recipe.parity, precision).model_dump()),
                golden,
                provider=recipe.parity.provider,
                keep_all=required or recipe.export.onnx.keep == "all",
            )
            reports[precision] = {**about, "kept_float": described[precision]["kept_float"], **verdict.to_json()}
            if verdict.status == "shipped":
                shipped[file] = {"precision": precision, "golden_tolerance": verdict.golden_tolerance}
            if verdict.status == "rejected":
                write_bytes(folder / "rejected" / file, data)
                write_json(folder / "rejected" / f"{file}.json", reports[precision])
                failed += [precision] if required else []
            if verdict.report is not None:
                context.console.say(_told(file, verdict.report))
            context.console.say(f"{file}: {verdict.status}, {verdict.reason}")
        return failed


def _told(file: str, report: "ParityReport") -> str:
    whole = report.whole
    drop, interval = whole.accuracy_drop or 0.0, whole.accuracy_drop_interval or (0.0, 0.0)
    if whole.max_scaled_error is None or whole.mean_scaled_error is None:
        return f"{file} on {whole.images:,} validation images: no finite logits"
    return (
        f"{file} on {whole.images:,} validation images: top-1 agreement {100 * whole.top1_agreement:.3f} %,"
        f" accuracy drop {100 * drop:+.3f} points (95 %: {100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}),"
        f" error max {whole.max_scaled_error:.2e} mean {whole.mean_scaled_error:.2e} of the logits' scale"
    )
