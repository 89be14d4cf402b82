"""Stage `parity`: what ships equals the student, proved on the whole validation split."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporters.artifacts import lines
from exporters.bundle.manifest import ENGINE_SOURCES, variant_of
from exporters.core.errors import GateError
from exporters.core.files import write_bytes, write_json
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.export import VARIANTS
from pipeline.stages.shared import engines
from pipeline.stages.shared.images import golden_images, validation_batches
from pipeline.stages.shared.inputs import IMAGE_KEYS, read_data, read_json_output

if TYPE_CHECKING:
    from exporters.artifacts.variants import Verdict
    from exporters.parity import Evidence

PARITY = "parity.json"
SHIPPED = "shipped.json"


class ParityStage(Stage):
    """Writes `parity/parity.json`, `parity/shipped.json`, and what failed to `parity/rejected/`."""

    name = "parity"
    libraries = ("torch", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow", "tensorrt", "tensorrt-rtx")

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The images, the student and its files."""
        return ("data", "distill", "export")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Bounds and runtime, and what is kept of what passes."""
        variants = recipe.export.variants
        gates = [f"parity.{name.partition('.')[0]}" for name in ("fp32", *variants)]
        kept = ("export.onnx.keep", "export.onnx.required") if variants else ()
        built = ("export.tensorrt.precision", "export.tensorrt.when") if recipe.export.engines else ()
        return settings(recipe, "export.onnx.precision", "parity.provider", *gates, *kept, *built, *IMAGE_KEYS)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Compare each file and each engine image by image, then judge.

        Raises:
            GateError: model.onnx is not the student, or a required variant or engine failed; the reports are written
                all the same. Or an engine is stale or damaged, and nothing of it was loaded.
            UnavailableError: a required engine could not be run.
        """
        from exporters.artifacts.engines import settle, unmet
        from exporters.bundle.golden import beyond_bundle
        from exporters.parity import Evidence
        from exporters.runtimes import OnnxRuntime, TorchRuntime
        from exporters.student.student import load_student

        recipe, folder, data = context.recipe, self.folder(context), read_data(context)
        student = load_student(context.run.folder("distill") / "chosen")
        evidence = Evidence(TorchRuntime(student), lambda: validation_batches(data))
        candidate = OnnxRuntime(context.run.folder("export") / "model.onnx", recipe.parity.provider)
        report = evidence.report(candidate, engines.parity_gate(recipe, "fp32"))
        about = {"split": "validation", "provider": candidate.provider}
        reports: dict[str, Any] = {"fp32": {**about, **report.to_json()}}
        write_json(folder / PARITY, reports)
        if not report.passed:
            raise GateError(
                f"model.onnx is not the student: {'; '.join(report.failures)}",
                remedy=f"{folder / PARITY} names the ten worst images and the bounds that would have passed.",
            )
        context.console.say(lines.compared("model.onnx", report.whole, "validation images"))
        golden = golden_images(data)
        served = OnnxRuntime(context.run.folder("export") / "model.onnx").predict
        beyond = beyond_bundle("fp32", reports["fp32"], served, golden, evidence.reference_logits(golden))
        if beyond is not None:
            raise GateError(
                f"model.onnx passes parity.fp32 and cannot ship: {beyond}",
                remedy="A looser parity.fp32.max_scaled_error does not help; another `export.onnx.opset` may.",
            )
        verdicts = self._variants(context, evidence, golden, about, reports)
        proved = engines.prove(context, evidence, verdicts) if recipe.export.engines else {}
        built = {variant_of(ENGINE_SOURCES[precision]): verdict for precision, verdict in proved.items()}
        verdicts = {name: settle(verdict, built.get(name)) for name, verdict in verdicts.items()}
        for name, verdict in verdicts.items():
            reports[name] |= verdict.to_json()
            self._conclude(context, name, verdict, reports[name])
        if proved:
            reports["engines"] = {precision: verdict.to_json() for precision, verdict in proved.items()}
        write_json(folder / PARITY, reports)
        models = ["fp32", *(name for name, verdict in verdicts.items() if verdict.status == "shipped")]
        plans = [precision for precision, verdict in proved.items() if verdict.status == "shipped"]
        write_json(folder / SHIPPED, {"models": models, "engines": plans})
        failed = [name for name in recipe.export.onnx.required if reports[name]["status"] in {"not made", "rejected"}]
        if failed:
            raise GateError(
                f"{', '.join(failed)} must pass and did not: {reports[failed[0]]['reason']}",
                remedy=f"{folder / PARITY} says why; {folder / 'rejected'} holds what was made and failed. Without"
                " `export.onnx.required` the rest ships.",
            )
        if recipe.export.tensorrt.when == "required" and (error := unmet(list(proved.values()))) is not None:
            raise error
        whole = report.whole
        return {
            "top1_agreement": whole.top1_agreement,
            "max_scaled_error": whole.max_scaled_error,
            "shipped": [*models, *(f"engine {precision}" for precision in plans)],
        }

    def _variants(
        self,
        context: StageContext,
        evidence: "Evidence",
        golden: Any,
        about: Mapping[str, Any],
        reports: dict[str, Any],
    ) -> "dict[str, Verdict]":
        """Prove each variant that was made, begin its report, and give the verdict; one that was not has a report."""
        from exporters.artifacts.variants import VARIANTS as VARIANT_KINDS
        from exporters.artifacts.variants import prove_variant

        recipe, exported = context.recipe, context.run.folder("export")
        described = read_json_output(context, "export", VARIANTS) if recipe.export.variants else {}
        model = (exported / "model.onnx").read_bytes()
        verdicts: dict[str, Verdict] = {}
        for name, entry in described.items():
            if "not_made" in entry:
                reports[name] = {"passed": False, "status": "not made", "reason": entry["not_made"]}
                continue
            kind, asked = VARIANT_KINDS[name], name in recipe.export.onnx.precision
            keep_all = recipe.export.onnx.keep == "all" and (asked or kind.for_engine)
            verdict = prove_variant(
                name,
                (exported / entry["file"]).read_bytes(),
                model,
                evidence,
                engines.parity_gate(recipe, kind.precision),
                golden,
                provider=recipe.parity.provider,
                keep_all=keep_all or name in recipe.export.onnx.required,
                for_engine=not asked,
            )
            reports[name] = {**about, "kept_float": entry["kept_float"]}
            verdicts[name] = verdict
            if verdict.report is not None:
                context.console.say(lines.compared(entry["file"], verdict.report.whole, "validation images"))
        return verdicts

    def _conclude(self, context: StageContext, name: str, verdict: "Verdict", report: Mapping[str, Any]) -> None:
        """Tell what becomes of a variant, and put it aside where it failed."""
        file = f"model.{name}.onnx"
        context.console.say(f"{file}: {verdict.status}, {verdict.reason}")
        if verdict.status == "rejected":
            rejected = self.folder(context) / "rejected"
            write_bytes(rejected / file, (context.run.folder("export") / file).read_bytes())
            write_json(rejected / f"{file}.json", report)
