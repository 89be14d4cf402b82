"""Stage `bundle`: what ships, packed, verified, and put beside the run's other folders."""

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters import __version__
from exporters.core.errors import GateError
from exporters.core.files import read_json
from exporters.core.licences import CODE_LICENCE
from exporters.core.versions import installed_packages
from pipeline.data.listing import SplitName
from pipeline.data.registry import LICENCES
from pipeline.distill.race.candidates import Candidate
from pipeline.distill.registry import METHODS
from pipeline.evaluation.gates import Gate, judge_file
from pipeline.recipe.needs import has_views, needs_teacher, needs_text_embeddings
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.weights import names_file
from pipeline.runner.fingerprint import digest
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.export import AUDIT
from pipeline.stages.parity import PARITY, SHIPPED
from pipeline.stages.shared.artifacts import IRS_FILE, VARIANTS_FILE
from pipeline.stages.shared.drift import drift_reference
from pipeline.stages.shared.images import golden_images
from pipeline.stages.shared.inputs import Data, read_data, read_json_output
from pipeline.stages.shared.known import foreign_files, measure_known
from pipeline.stages.shared.race import decided_recipe, race_verdict, read_race
from pipeline.stages.shared.teachers import CHOICE

if TYPE_CHECKING:
    from exporters.artifacts.ship import Passed
    from exporters.bundle.contents import BundleFacts

MEASURED: tuple[SplitName, ...] = ("validation", "test")
"""The splits whose accuracy a bundle reports."""

_PROVENANCE = {
    "tmkd": "Distilled with Text-guided Multi-view Knowledge Distillation (arXiv 2603.24208). The paper's equations"
    " could not be had: every line of the method is our reconstruction.",
}


class BundleStage(Stage):
    """Writes the folder `bundle` and `bundle.tar`."""

    name = "bundle"
    libraries = ("onnxruntime", "onnxruntime-gpu", "numpy", "pillow")
    extra_outputs = ("bundle.tar",)

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """Everything: the bundle says where the student came from."""
        teachers = ("teacher", "text", "fusion") if needs_teacher(recipe) else ()
        return ("data", *teachers, "race", "distill", "validate", "export", "parity")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """The recipe, whose digest the manifest holds, and the version that it names."""
        return {**identity(recipe), "version": __version__}

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """The foreign images that are measured, by names, sizes and times."""
        return foreign_files(recipe)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Choose from where on an image is known, measure speed, judge the file, take golden vectors, pack, verify.

        Raises:
            GateError: model.onnx is larger or slower than the recipe allows.
            UnavailableError: no foreign image that the recipe gives can be read.
        """
        from exporters.artifacts.ship import ship
        from exporters.bundle.layout import bundle_size
        from exporters.runtimes import TorchRuntime
        from exporters.student.checkpoint import shipped_calibration
        from exporters.student.student import load_student

        run, recipe = context.run, context.recipe
        data = read_data(context)
        student, passed = load_student(run.folder("distill") / "chosen"), _passed(context)
        gates: list[Gate] = []

        def judge(size: int, latency_ms: float) -> None:
            gates.extend(judge_file(recipe.gates, size, latency_ms))
            for gate in gates:
                context.console.say(gate.describe())
            if failed := [gate.describe() for gate in gates if not gate.passed]:
                raise GateError(
                    f"model.onnx does not pass: {'; '.join(failed)}",
                    remedy="Take a smaller student or smaller images, or raise the bound.",
                )

        manifest = ship(
            student,
            TorchRuntime(student),
            passed,
            golden_images(data),
            _facts(context, data),
            run.folder(self.name),
            name=recipe.name,
            known=measure_known(context, data, passed.models, student.preprocessing),
            calibration=shipped_calibration(read_json_output(context, "validate", "verdict.json")),
            warn=context.console.warn,
            judge=judge,
            measure_drift=lambda model: drift_reference(context, data, model),
        )
        size = bundle_size(run.folder(self.name), manifest)
        context.console.say(f"{run.folder(self.name)}: {size}, verified")
        return {"bytes": size.bytes, "gates": [gate.to_json() for gate in gates]}


def _passed(context: StageContext) -> "Passed":
    """Files and engines that passed parity, each file with what the audit found at its export."""
    from exporters.artifacts.openvino import MadeIr
    from exporters.artifacts.ship import Passed

    audits = {"fp32": read_json_output(context, "export", AUDIT)}
    if context.recipe.export.variants:
        audits |= read_json_output(context, "export", VARIANTS_FILE)
    shipped = read_json_output(context, "parity", SHIPPED)
    initializers = {name: audits[name]["initializers"] for name in shipped["models"]}
    parity, exported = read_json_output(context, "parity", PARITY), context.run.folder("export")
    made = read_json_output(context, "export", IRS_FILE) if shipped.get("openvino") else {}
    irs = [MadeIr.from_json(precision, made[precision], exported) for precision in shipped.get("openvino", ())]
    return Passed.from_folder(exported, initializers, shipped["engines"], parity, irs)


def identity(recipe: Recipe) -> dict[str, Any]:
    """The settings that the student follows from: all but where the data lie, what they are run on, and what is kept
    on the disk meanwhile.
    """
    kept = ("distill.teacher_cache.max_gb", "train.checkpoint.every_minutes", "train.checkpoint.keep")
    here = ("data.root", "known.foreign", "data.workers", "device", *kept)
    return {key: value for key, value in settings(recipe, *recipe.resolved()).items() if key not in here}


def _facts(context: StageContext, data: Data) -> "BundleFacts":
    from exporters.bundle.contents import BundleFacts

    recipe = context.recipe
    verdict = read_json_output(context, "validate", "verdict.json")
    students = verdict["student"]
    chosen = students["chosen"]
    metrics = {f"{split} top-{k}": chosen[split][f"top{k}"] for split in MEASURED for k in (1, 5)}
    metrics["test top-1, 95 % interval"] = [round(bound, 4) for bound in chosen["test"]["top1_interval"]]
    metrics["test top-1 of always answering the commonest class"] = round(chosen["test"]["chance"], 4)
    metrics["test top-1 after the last pass"] = students["final"]["test"]["top1"]
    history = read_json_output(context, "distill", "history.json")
    method, race = history["method"], read_race(context.run, recipe)
    why = verdict["why"] if verdict["ships"] == "plain" else None if race is None else race_verdict(race)
    name = Candidate(method, history["base"]).name
    sentences = (f"Method: {name}.", why and f"{why[0].upper()}{why[1:]}.", _PROVENANCE.get(method))
    return BundleFacts(
        recipe_sha256=digest(identity(recipe)),
        data_fingerprint=data.index.fingerprint,
        licences=_licences(recipe),
        teacher=_teachers(context, verdict),
        versions=installed_packages(),
        metrics=metrics,
        data={
            "name": recipe.data.dataset,
            "classes": len(data.index.classes),
            **{split: len(indexed) for split, indexed in data.index.splits.items()},
        },
        results=_results(context, data),
        command="tmkd-pipeline run recipe.lock.yaml  # of the run that made this bundle",
        provenance=" ".join(sentence for sentence in sentences if sentence),
    )


def _licences(recipe: Recipe) -> dict[str, str | None]:
    """What is stated of each part; None where nobody said so. Weights that training began from have their own."""
    stated = {
        "weights": recipe.bundle.licence,
        "data": recipe.data.licence or LICENCES.get(recipe.data.dataset),
        "code": CODE_LICENCE,
    }
    return stated if recipe.student.weights == "none" else {**stated, "initial weights": None}


def _teachers(context: StageContext, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The teachers' identity, as provenance; of files the names alone, since folders tell about this machine."""
    run, recipe = context.run, decided_recipe(context.run, context.recipe)
    teacher: dict[str, Any] = {}
    if METHODS[recipe.distill.method].needs_teacher and verdict["ships"] == "distilled":
        report = read_json(run.folder("teacher") / "report.json")
        teacher["visual"] = {key: report[key] for key in ("model", "weights", "weights_sha256", "fitted", "parameters")}
        teacher["visual"]["weights"] = _without_folders(report["weights"], recipe.teacher.visual.weights)
        teacher["visual"]["test"] = verdict["teacher"]["test"]
        if has_views(recipe):
            teacher["visual"]["views"] = read_json_output(context, "fusion", CHOICE)["views"]
        if needs_text_embeddings(recipe):
            text = recipe.teacher.text
            report = read_json(run.folder("text") / "report.json")
            teacher["text"] = {key: report[key] for key in ("source", "weights_sha256")}
            teacher["text"]["source"] = _without_folders(report["source"], text.model, text.weights)
    return teacher


def _without_folders(text: str, *sources: str) -> str:
    """A text in which each of a recipe's sources that is a path is replaced by the name of its file."""
    for source in (source for source in sources if names_file(source)):
        for path in (source, str(Path(source).expanduser())):
            text = text.replace(path, PurePath(source).name)
    return text


def _results(context: StageContext, data: Data) -> dict[str, Any]:
    """What the chosen student answered in each split: in all, and of each class."""
    from exporters.artifacts.ship import split_results

    results: dict[str, Any] = {}
    with np.load(context.run.folder("validate") / "predictions.npz") as predictions:
        for split in MEASURED:
            found, truth = predictions[f"chosen.{split}"], predictions[f"labels.{split}"]
            digests = map(bytes, data.index.splits[split].sha256)
            results[split] = split_results(found, truth, digests, data.index.classes)
    return results
