"""Stage `parity`: what ships equals the student, proved on the whole validation split."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporters.artifacts.status import Status
from exporters.bundle.manifest import ENGINES, MODEL
from exporters.bundle.openvino import FOLDER as OPENVINO
from exporters.core.errors import GateError
from exporters.core.files import read_json, write_json
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.artifacts import (
    ENGINES_FILE,
    IRS_FILE,
    VARIANTS_FILE,
    artifact_context,
    openvino_version,
)
from pipeline.stages.shared.inputs import IMAGE_KEYS, read_data

if TYPE_CHECKING:
    from exporters.artifacts.context import ArtifactContext
    from exporters.artifacts.decide import EngineVerdict
    from exporters.artifacts.engines import MadeEngine
    from exporters.artifacts.openvino import IrVerdict
    from exporters.artifacts.variants import Variant

PARITY, SHIPPED, REJECTED = "parity.json", "shipped.json", "rejected"


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
        judged = dict.fromkeys(name.partition(".")[0] for name in ("fp32", *variants, *recipe.export.irs))
        gates = [f"parity.{precision}" for precision in judged]
        kept = ("export.onnx.keep", "export.onnx.required") if variants else ()
        built = ("export.tensorrt.precision", "export.tensorrt.when") if recipe.export.engines else ()
        irs = ("export.openvino.precision", "export.openvino.when") if recipe.export.irs else ()
        files = ("export.onnx.precision", "export.onnx.cam")
        judged_by = settings(recipe, *files, "parity.provider", *gates, *kept, *built, *irs, *IMAGE_KEYS)
        return {**judged_by, **openvino_version(recipe)}

    def run(self, context: StageContext) -> dict[str, Any]:
        """Compare each file and each engine image by image, then judge.

        Raises:
            GateError: model.onnx is not the student, or a required variant or engine failed; the reports are written
                all the same. Or an engine is stale or damaged, and nothing of it was loaded.
            UnavailableError: a required engine, or OpenVINO IR, could not be run.
        """
        from exporters.artifacts.decide import shipped, unmet_engines, unmet_variants
        from exporters.artifacts.openvino import unmet_irs
        from exporters.artifacts.prove import prove_artifacts, prove_fp32
        from exporters.runtimes.ort import find_provider
        from exporters.student.student import load_student

        recipe, folder, exported = context.recipe, self.folder(context), context.run.folder("export")
        student = load_student(context.run.folder("distill") / "chosen")
        artifacts = artifact_context(context, student, read_data(context))
        fp32, failure = prove_fp32((exported / MODEL).read_bytes(), artifacts)
        about = {"split": "validation", "provider": find_provider(recipe.parity.provider)[1]}
        reports: dict[str, Any] = {"fp32": {**about, **fp32.to_json()}}
        write_json(folder / PARITY, reports)
        if failure:
            worst = f"{folder / PARITY} names the ten worst images and the bounds that would have passed."
            opset = "A looser parity.fp32.max_scaled_error does not help; another `export.onnx.opset` may."
            raise GateError(failure, remedy=opset if fp32.passed else worst)
        variants, engines = _made(context)
        verdicts = prove_artifacts(variants, engines, exported, artifacts)
        for engine in verdicts.engines.values():
            self._conclude_engine(context, engine)
        for name, verdict in verdicts.variants.items():
            made = {} if variants[name].not_made else {**about, "kept_float": variants[name].kept_float}
            reports[name] = {**made, **verdict.to_json()}
            self._conclude_variant(context, variants[name], reports[name])
        if verdicts.engines:
            reports["engines"] = {precision: verdict.to_json() for precision, verdict in verdicts.engines.items()}
        irs = self._prove_irs(context, artifacts)
        if irs:
            reports["openvino"] = {precision: verdict.to_json() for precision, verdict in irs.items()}
        write_json(folder / PARITY, reports)
        models, plans = ["fp32", *shipped(verdicts.variants)], shipped(verdicts.engines)
        proved = [precision for precision, verdict in irs.items() if verdict.status is Status.SHIPPED]
        write_json(folder / SHIPPED, {"models": models, "engines": plans, **({"openvino": proved} if irs else {})})
        if failed := unmet_variants(recipe.export.onnx.required, reports):
            raise GateError(
                failed,
                remedy=f"{folder / PARITY} says why; {folder / REJECTED} holds what was made and failed. Without"
                " `export.onnx.required` the rest ships.",
            )
        if recipe.export.tensorrt.when == "required" and (error := unmet_engines(verdicts.engines.values())):
            raise error
        if recipe.export.openvino.when == "required" and (error := unmet_irs(irs.values())):
            raise error
        return {
            "top1_agreement": fp32.whole.top1_agreement,
            "max_scaled_error": fp32.whole.max_scaled_error,
            "shipped": [
                *models,
                *(f"engine {precision}" for precision in plans),
                *(f"OpenVINO {precision}" for precision in proved),
            ],
        }

    def _prove_irs(self, context: StageContext, artifacts: "ArtifactContext") -> "dict[str, IrVerdict]":
        """Judge OpenVINO IR, report what becomes of it, and put it aside where it failed."""
        from exporters.artifacts.openvino import MadeIr, prove_irs, set_ir_aside

        if not context.recipe.export.irs:
            return {}
        exported = context.run.folder("export")
        made = {
            precision: MadeIr.from_json(precision, entry, exported)
            for precision, entry in read_json(exported / IRS_FILE).items()
        }
        verdicts = prove_irs(made, artifacts)
        for verdict in verdicts.values():
            context.console.say(f"{OPENVINO}/{verdict.made.file}: {verdict.status}, {verdict.reason}")
            if verdict.status is Status.REJECTED:
                set_ir_aside(verdict, self.folder(context) / REJECTED)
        return verdicts

    def _conclude_variant(self, context: StageContext, variant: "Variant", report: Mapping[str, Any]) -> None:
        """Report what becomes of a variant, and put it aside where it failed."""
        from exporters.artifacts.placing import set_aside

        context.console.say(f"{variant.file}: {report['status']}, {report['reason']}")
        if report["status"] is Status.REJECTED:
            set_aside(self.folder(context) / REJECTED, variant.file, variant.data, report)

    def _conclude_engine(self, context: StageContext, verdict: "EngineVerdict") -> None:
        """Report what becomes of an engine, and put it aside where it failed."""
        from exporters.artifacts.placing import copy_engine

        file = verdict.engine.file
        if verdict.status is Status.UNPROVED:
            context.console.warn(
                f"{file} is not proved and does not ship: {verdict.reason}. On a machine with a GPU:"
                " run again with --force export"
            )
            return
        context.console.say(f"{file}: {verdict.status}, {verdict.reason}")
        if verdict.status is Status.REJECTED:
            copy_engine(verdict, context.run.folder("export") / ENGINES, self.folder(context) / REJECTED)


def _made(context: StageContext) -> "tuple[dict[str, Variant], dict[str, MadeEngine]]":
    """What the stage `export` made: variants by name, engines by precision."""
    from exporters.artifacts.engines import MadeEngine
    from exporters.artifacts.variants import Variant

    folder, asked = context.run.folder("export"), context.recipe.export
    variants = read_json(folder / VARIANTS_FILE) if asked.variants else {}
    engines = read_json(folder / ENGINES_FILE) if asked.engines else {}
    return (
        {name: Variant.from_json(name, entry, folder) for name, entry in variants.items()},
        {precision: MadeEngine.from_json(precision, entry) for precision, entry in engines.items()},
    )
