"""Stage `fusion`: what the teacher knows before anything is distilled, view by view and fused."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exporters.core.errors import GateError
from exporters.core.files import write_json
from pipeline.data.listing import SPLITS, SplitName
from pipeline.recipe.needs import has_views, needs_teacher, weighs_by_text
from pipeline.recipe.references import baseline_epochs, trains_baseline
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.history import chosen_score
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, read_data, read_json_output
from pipeline.stages.shared.teacher_runtime import run_by
from pipeline.stages.shared.teachers import CHOICE, given_choice, read_teacher_parts
from pipeline.stages.shared.whole_images import whole_images
from pipeline.tmkd.choice import FusionChoice

if TYPE_CHECKING:
    import numpy as np

    from pipeline.evaluation.answers import Answers
    from pipeline.evaluation.teacher import PlainAccuracy
    from pipeline.evaluation.view_search import Search

TRAIN_SAMPLE = 1000
"""Training images on which the teacher is measured, at most: enough to see whether fusion helps."""

MOST_SHOWN = 768
"""Images that go through the teachers at once, at most, each view counted: memory is as with three views."""

VALIDATION_SAMPLE = 5000
"""Validation images on which views and temperature are chosen, at most: their answers in every view are in memory."""


class FusionStage(Stage):
    """Writes `fusion/accuracy.json`: split → what the teacher knows per view, fused without labels, and with them.

    Where the method uses views, also `fusion/views.json`, the views and how they are weighed, of which the recipe may
    leave parts to this stage; and `fusion/search.json` where it chose the views.
    """

    name = "fusion"
    libraries = (*TRAINING_LIBRARIES, "open_clip_torch", "safetensors")
    shared = True

    def skipped(self, recipe: Recipe) -> str | None:
        """Without a teacher there is nothing to measure."""
        return None if needs_teacher(recipe) else f"distill.method {recipe.distill.method} learns from labels alone"

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """Index, visual teacher and plain student, and the text teacher where it weighs the views."""
        text = ("text",) if weighs_by_text(recipe) else ()
        return ("data", "baseline", "teacher", *text)

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """The views and their weights, where the method uses them: methods on the image alone share one measurement."""
        views = ("distill.views", "distill.weighting") if has_views(recipe) else ()
        followed = settings(recipe, *views, *run_by(recipe), "teacher.on_weak", "student.baseline", *IMAGE_KEYS)
        return {key: value for key, value in followed.items() if key != "distill.weighting.seen"}  # only whole images

    def run(self, context: StageContext) -> dict[str, Any]:
        """Settle views and weights, measure on a sample of training, on validation and on test, show, and judge.

        Raises:
            GateError: the teacher is weak and the recipe says to fail; the figures are written all the same.
        """
        from pipeline.data.loading import EVALUATION_BATCH
        from pipeline.distributed.collectives import this_part
        from pipeline.evaluation.answers import ask, joined
        from pipeline.evaluation.fusion_choice import choose_fusion
        from pipeline.evaluation.sampling import FIRST, images_needed, spread_evenly
        from pipeline.evaluation.teacher import against_plain, measure_teacher, teacher_weaknesses
        from pipeline.tmkd.weight_rule import WeightRule, in_order
        from pipeline.training.device import describe_device, make_fabric

        recipe, data, folder = context.recipe, read_data(context), self.folder(context)
        fabric = make_fabric(recipe.device, "fp32")
        parts = read_teacher_parts(context, fabric)
        choice, search = given_choice(recipe.distill), None
        teacher = parts.teacher(choice)
        sizes = {split: len(data.index.splits[split]) for split in SPLITS}
        with whole_images(context, data, teacher, fabric.device) as whole:

            def answers(split: SplitName, indices: "np.ndarray") -> "Answers":
                size = min(EVALUATION_BATCH, MOST_SHOWN // len(teacher.views))
                batches = data.loader.evaluation_batches(split, data.geometry, size, part=this_part(), indices=indices)
                return joined(ask(teacher, batches, fabric.device, whole if split == "train" else None))

            # What was answered once is not asked again: every figure is made of the same answers.
            known: dict[SplitName, Answers] = {"train": answers("train", spread_evenly(sizes["train"], TRAIN_SAMPLE))}
            judged: tuple[SplitName, ...] = ("validation", "test")
            first = {split: spread_evenly(sizes[split], FIRST) for split in judged}
            if recipe.distill.is_fitted:
                first["validation"] = spread_evenly(sizes["validation"], VALIDATION_SAMPLE)
                known["validation"] = answers("validation", first["validation"])
                settings, views, searches = recipe.distill.weighting, choice.views, recipe.distill.views == "auto"
                choice, search = choose_fusion(
                    settings, views, searches, parts.weighting, known["train"], known["validation"]
                )
                teacher = parts.teacher(choice)
        statistics = in_order(choice.statistics, choice.names)
        rule = WeightRule(parts.weighting(choice.names), choice.temperature, statistics)
        measured: dict[SplitName, Any] = {"train": measure_teacher(rule, [known["train"].select(choice.names)])}
        for split, asked in first.items():
            parts_known = [known[split].select(choice.names) if split in known else answers(split, asked)]
            measured[split] = measure_teacher(rule, parts_known)
            right, images = round(measured[split]["fused"] * len(asked)), len(asked)
            if images < sizes[split] and (wanted := images_needed(right, images)) > images:
                parts_known.append(answers(split, spread_evenly(sizes[split], wanted - images, without=asked)))
                measured[split] = measure_teacher(rule, parts_known)
        if not context.leads:
            return {}
        for split, values in measured.items():
            if values["images"] < sizes[split]:
                context.console.say(sample_note(split, values, sizes[split]))
        write_json(folder / "accuracy.json", measured)
        if has_views(recipe):
            write_json(folder / CHOICE, choice.model_dump(mode="json"))
        if search is not None:
            write_json(folder / "search.json", search.to_json())
        validation = measured["validation"]
        plain = plain_accuracy(context, sizes["validation"])
        weaknesses = teacher_weaknesses(validation, plain)
        show_choice(context, choice, search)
        show_teacher(context, measured, weaknesses)
        if plain is not None:
            context.console.say(against_plain(validation, plain))
        if weaknesses and recipe.teacher.on_weak == "fail":
            raise GateError(
                f"the teacher is weak: {' '.join(weaknesses)}",
                remedy="Change distill.views or distill.weighting, take a stronger teacher, or go on with"
                " teacher.on_weak=warn.",
            )
        figures = {key: validation[key] for key in ("fused", "oracle")}
        runtimes = [each.to_json() for each in teacher.decisions]
        return figures | {"views": list(choice.names), "device": describe_device(fabric), "teacher_runtimes": runtimes}


def sample_note(split: str, measured: Mapping[str, Any], images: int) -> str:
    """On how many of a split's images the teacher was measured, and how exact that is."""
    from exporters.parity.intervals import wilson_interval

    low, high = wilson_interval(round(measured["fused"] * measured["images"]), measured["images"])
    return (
        f"{split}: measured on {measured['images']:,} of {images:,} images, evenly spread: ± {50 * (high - low):.1f}"
        " points (95 %)"
    )


def show_choice(context: StageContext, choice: FusionChoice, search: "Search | None") -> None:
    """The views that were found, and the temperature of their weights where it was fitted."""
    if search is not None:
        first = search.steps[0]
        tried = f"of {len(first)} views tried on validation"
        if len(choice.names) == 1:
            context.console.say(f"distill.views: none {tried} lowers the teacher's NLL: rgb alone")
        else:
            last = search.steps[len(choice.names) - 2][choice.names[-1]]["nll"]
            before = first[choice.names[1]]["nll"] + first[choice.names[1]]["gain"]
            taken = ", ".join(choice.names[1:])
            context.console.say(f"distill.views: {tried}: {taken}; the teacher's NLL {before:.3f} to {last:.3f}")
    if context.recipe.distill.weighting.temperature == "auto" and len(choice.names) > 1:
        context.console.say(f"distill.weighting.temperature: {choice.temperature:g}, fitted on validation")


def plain_accuracy(context: StageContext, images: int) -> "PlainAccuracy | None":
    """The plain student's accuracy on the validation images: of the stage `baseline`, or as the recipe gives it."""
    from pipeline.evaluation.teacher import PlainAccuracy

    recipe = context.recipe
    if trains_baseline(recipe):
        score = chosen_score(read_json_output(context, "baseline", "history.json"))
        return PlainAccuracy(score, images, f"{baseline_epochs(recipe)} of {recipe.train.epochs} epochs")
    given = recipe.student.baseline
    return PlainAccuracy(given) if isinstance(given, int | float) else None


def show_teacher(context: StageContext, measured: Mapping[SplitName, Any], weaknesses: Sequence[str]) -> None:
    """What the teacher knows on training and validation as a table, and what speaks for or against it."""
    from pipeline.evaluation.teacher import fusion_verdict, weights_verdict

    splits = {split: values for split, values in measured.items() if split != "test"}
    names = sorted(measured["validation"]["views"], key="rgb".__ne__)
    fusions = {"uniform": "uniform weights", "fused": "weights without labels", "oracle": "weights by labels"}
    rows = [
        [f"view {name}", *(_cell(values["views"][name], values["nll"]["views"][name]) for values in splits.values())]
        for name in names
    ]
    if len(names) > 1:
        rows += [
            [shown, *(_cell(values[key], values["nll"][key]) for values in splits.values())]
            for key, shown in fusions.items()
        ]
    rows.append(["images", *(f"{values['images']:,}" for values in splits.values())])
    context.console.table("Teacher accuracy before distillation: top-1 % (NLL)", ["", *splits], rows)
    if len(names) > 1:
        for split, values in splits.items():
            context.console.say(f"{split}: {weights_verdict(values)}")
    verdict = fusion_verdict(measured["validation"])
    if verdict not in weaknesses:
        context.console.say(verdict)
    for weakness in weaknesses:
        context.console.warn(weakness)


def _cell(accuracy: float, nll: float) -> str:
    return f"{100 * accuracy:.2f} ({nll:.3f})"
