"""Stage `teacher`: the visual teacher, loaded and, where the recipe says so, fitted to the data."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from exporters.core.errors import UnavailableError
from pipeline.recipe.needs import has_views, needs_teacher
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import Stage, StageContext, settings
from pipeline.stages.shared.file_identity import weights_file
from pipeline.stages.shared.inputs import IMAGE_KEYS, TRAINING_LIBRARIES, Data, read_data
from pipeline.stages.shared.networks import build_visual_teacher, teacher_preprocessing
from pipeline.stages.shared.teacher_runtime import is_sharded
from pipeline.stages.shared.teachers import make_fitted_views

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

    from pipeline.data.loading import Batch
    from pipeline.models.build import Model
    from pipeline.tmkd.views.views import Views
    from pipeline.training.loop import Fitted


_OF_ITS_USE = ("teacher.visual.classifier", "teacher.visual.shard")
"""Settings of what is done with the teacher."""


class TeacherStage(Stage):
    """Writes the teacher's weights and description, and `teacher/report.json`."""

    name = "teacher"
    libraries = TRAINING_LIBRARIES
    shared = True

    def skipped(self, recipe: Recipe) -> str | None:
        """A method that learns from labels alone has no teacher."""
        return None if needs_teacher(recipe) else f"distill.method {recipe.distill.method} learns from labels alone"

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The index."""
        return ("data",)

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """The teacher's section; with a fit, all that training depends on. Its seed is the split's: seeds share it.

        Which layer is its classifier changes nothing of the teacher, only what the student takes from it; nor does it
        change it where its parameters are kept.
        """
        fit = recipe.teacher.visual.fit
        fitted = ("data.augment", "data.decode", "data.split_seed", "train.precision") if fit else ()
        views = ("distill.views",) if recipe.fits_on_views else ()
        found = settings(recipe, "teacher.visual", *IMAGE_KEYS, *fitted, *views)
        return {key: value for key, value in found.items() if key not in _OF_ITS_USE}

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """The teacher's own weights, where they are a file."""
        visual = recipe.teacher.visual
        return weights_file(visual.weights, visual.sha256, "teacher.visual")

    def run(self, context: StageContext) -> dict[str, Any]:
        """Load, fit, measure on validation, save."""
        from exporters.core.files import write_json
        from exporters.parity.chance import describe_score, has_learned, not_above_chance
        from exporters.student.student import save_student
        from pipeline.distributed.collectives import this_part
        from pipeline.evaluation.metrics import predict, score
        from pipeline.models.deployment.frozen import FrozenClassifier
        from pipeline.models.deployment.runners import copied
        from pipeline.models.deployment.sharding import ShardedNetwork, in_step
        from pipeline.stages.shared.training import discard_checkpoint
        from pipeline.training.device import describe_device, make_fabric

        recipe, visual = context.recipe, context.recipe.teacher.visual
        data = read_data(context)
        fabric = make_fabric(recipe.device, recipe.train.precision)
        with context.console.track(f"loading {visual.model}", None):
            model = build_visual_teacher(recipe, len(data.index.classes))
        for note in model.notes:
            context.console.say(note)
        tapped = model.tapped
        fitted = self._fit(context, data, model, fabric) if visual.fit is not None else None
        rows = fitted.history if fitted is not None else []
        tapped.eval()
        batches: Iterable[Batch] = data.loader.evaluation_batches("validation", data.geometry, part=this_part())
        logits_of: Callable[[Tensor], Tensor]
        if is_sharded(visual) and fitted is None:
            sharded = ShardedNetwork(copied(FrozenClassifier(tapped)), fabric.device)
            logits_of, batches = (lambda images: sharded(images)[0]), in_step([sharded], batches)
        else:
            tapped.to(fabric.device)
            logits_of = lambda images: tapped(images).logits  # noqa: E731
        measured = score(*predict(logits_of, batches, fabric.device, shared=True))
        context.console.say(f"visual teacher {visual.model}: validation top-1 {100 * measured['top1']:.2f} %")
        mapped = model.weights.mapped if model.weights is not None and fitted is None else 0
        if mapped and has_learned(measured):
            context.console.say(f"teacher.visual.weights: this proves the mapping of {mapped} keys")
        elif mapped:
            raise UnavailableError(
                f"teacher.visual.weights: {mapped} keys were mapped by order, which the accuracy does not prove:"
                f" {describe_score(measured, 'validation')}",
                remedy="Check mean, std and the order of classes; else it is another network's file, or needs `fit`.",
            )
        if not has_learned(measured):
            claim = not_above_chance("the visual teacher", measured, "validation", ", with nothing to teach")
            context.console.warn(claim)
        if not context.leads:
            return {}
        folder = self.folder(context)
        preprocessing = teacher_preprocessing(recipe, model.mean, model.std)
        save_student(tapped.network, model.architecture, data.index.classes, preprocessing, folder, name=visual.model)
        report = {
            "model": visual.model,
            "weights": model.weights.source if model.weights else "none",
            "weights_sha256": model.weights.sha256 if model.weights else None,
            "parameters": sum(parameter.numel() for parameter in tapped.parameters()),
            "validation": measured,
            # One stage measures the views, with the weights that fuse them; this says where.
            "validation_per_view": "fusion/accuracy.json" if has_views(recipe) else None,
            "fitted": fitted is not None,
            "fitted_on": list(fit_views(recipe).names) if visual.fit is not None else [],
            "stopped_early": fitted is not None and fitted.stopped_early,
            "history": [{key: row[key] for key in ("epoch", "loss", "validation_top1")} for row in rows],
        }
        write_json(folder / "report.json", report)
        discard_checkpoint(context, self.name)
        return {"validation_top1": measured["top1"], "device": describe_device(fabric)}

    def _fit(self, context: StageContext, data: Data, model: "Model", fabric: "Fabric") -> "Fitted":
        from pipeline.distill.build import build_method
        from pipeline.distill.settings import DistillSettings
        from pipeline.distill.task import DistillationTask
        from pipeline.stages.shared.training import train
        from pipeline.tmkd.sampled_views import SampledViews
        from pipeline.training.class_weights import class_weights
        from pipeline.training.step import Training

        fit_settings = context.recipe.teacher.visual.fit
        assert fit_settings is not None
        distill, smoothing = DistillSettings(method="ce"), fit_settings.label_smoothing
        labels, classes = data.index.splits["train"].labels, data.index.classes
        weights = class_weights(fit_settings.class_weights, labels, classes, "teacher.visual.fit")
        method = build_method(distill, model.tapped.shape, None, None, smoothing, class_weights=weights)
        seed = context.recipe.data.split_seed
        views = SampledViews(fit_views(context.recipe), seed, "view for the visual teacher")
        training = Training(
            name="teacher",
            task=DistillationTask(model.tapped, method),
            loader=data.loader,
            augmentation=data.augmentation(context.recipe, seed),
            settings=fit_settings,
            seed=seed,
            views=views if context.recipe.fits_on_views else None,
        )
        fitted = train(context, self.name, training, fabric)
        training.task.load_state_dict(fitted.chosen_state)
        return fitted


def fit_views(recipe: Recipe) -> "Views":
    """The views that the teacher is trained on: rgb alone, or the recipe's."""
    from pipeline.tmkd.views.views import Views

    return make_fitted_views(recipe) if recipe.fits_on_views else Views({})
