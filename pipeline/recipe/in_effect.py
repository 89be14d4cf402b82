"""Which keys of a recipe are in effect beside its other keys, and the values of those that are.

What a stage follows from is made of these, so that a change that cannot matter repeats nothing; what has no effect is
named to whoever wrote it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.distill.loss_settings import LossSettings
from pipeline.distill.registry import METHODS
from pipeline.distill.settings import AUTO
from pipeline.recipe.accelerator import may_be_cuda
from pipeline.recipe.needs import has_views, needs_teacher, needs_text_embeddings
from pipeline.recipe.schema.recipe import Recipe
from pipeline.tmkd.settings import IMAGE_TOWER_WEIGHTINGS
from pipeline.tmkd.views.settings import BlurView, EdgeView, HighFrequencyView
from pipeline.training.settings import FitSettings, NetworkFitSettings

Matters = Callable[[Recipe], bool]


def settings_in_effect(recipe: Recipe) -> dict[str, Any]:
    """Dotted key → JSON value of every setting that something follows from.

    Defaults are filled in as in `Recipe.resolved`. A key that is not there is off or has no effect, which is the same.
    Values that mean the same are the same: a learning rate that is scaled is the scaled one, and the precision is
    `auto` where the device has no other that it could mean.
    """
    values: dict[str, Any] = {}
    # What a repeated run is held against changes nothing of it, nor does who is sent its figures.
    _flatten("", {key: value for key, value in recipe.resolved().items() if key not in ("lock", "track")}, values)
    idle = tuple(key for key, matters in rules(recipe).items() if not matters(recipe))
    sections = tuple(f"{key}." for key in idle)
    found = {key: value for key, value in values.items() if key not in idle and not key.startswith(sections)}
    return found | _as_meant(recipe, found)


def rules(recipe: Recipe) -> Mapping[str, Matters]:
    """Key or section → whether it changes anything of the run. Keys that are not named do."""
    return {**_RULES, **dict(_of_schedules(recipe)), **dict(_of_views(recipe))}


def deciding_key(recipe: Recipe, key: str) -> str:
    """The key whose value makes another one have no effect; of several, the nearest.

    Args:
        recipe: the recipe.
        key: a key or section that has no effect in it.
    """
    for section, decides in _DECIDED_BY.items():
        if key == section or key.startswith(f"{section}."):
            return decides
    for section, _ in _schedules(recipe):
        if (decider := _DECIDED_IN_SCHEDULE.get(key.removeprefix(f"{section}."))) is not None:
            return f"{section}.{decider}"
    if key.startswith("distill.teacher_cache.") and _learns_from_a_teacher(recipe) and not _caches(recipe):
        return "distill.teacher_cache.passes"
    if recipe.distill.method == "tmkd":  # which may have each loss, by its weight or that of its base
        for name, loss in (("feature", recipe.distill.feature), ("logits", recipe.distill.logits)):
            if key.startswith(f"distill.{name}."):
                return f"distill.{name}.weight" if loss.weight == 0 else "distill.base"
        if key == "distill.contrast" or key.startswith("distill.contrast."):
            return "distill.contrast.weight"
        if key == "distill.teacher_cache.stages":
            return "distill.base"
    if key.startswith("distill.weighting.") and has_views(recipe):
        return "distill.weighting.by"
    if key.startswith("teacher.text.") and needs_text_embeddings(recipe):
        return "teacher.text.weights"
    if key in dict(_of_views(recipe)):
        view, _, name = key.rpartition(".")
        return f"{view}.{'mode' if name == 'strength' else 'strength'}"
    return "distill.method"


def _as_meant(recipe: Recipe, values: Mapping[str, Any]) -> dict[str, Any]:
    meant: dict[str, Any] = {}
    if recipe.train.precision == "fp32" and not may_be_cuda(recipe):
        meant["train.precision"] = "auto"
    if "distill.teacher_cache.share" in values and recipe.distill.teacher_cache.share == "auto":
        meant["distill.teacher_cache.share"] = "none"  # a comparison, where it means another, writes that out
    for section, schedule in _schedules(recipe):
        if isinstance(schedule, NetworkFitSettings) and f"{section}.lr" in values:
            meant |= {f"{section}.lr": schedule.peak_lr, f"{section}.scale_lr": False}
    return meant


def _methods(recipe: Recipe) -> set[str]:
    """Names of `METHODS` that may train the student, bases included."""
    return {name for each in recipe.distill.candidates for name in (each.method, each.base) if name is not None}


def _losses(recipe: Recipe) -> Iterator[tuple[str, bool, LossSettings]]:
    """Of each method that may train the student: the method or base, whether TMKD is added to it, and its losses."""
    for each in recipe.distill.candidates:
        yield each.base or each.method, each.base is not None, recipe.distill.of(each).losses


def _learns_from_a_teacher(recipe: Recipe) -> bool:
    return any(METHODS[name].needs_teacher for name in _methods(recipe))


def _has_loss(name: str) -> Matters:
    """Whether a method has this loss; TMKD adds either to a base that has none."""
    return lambda recipe: recipe.distill.may_use_tmkd or any(name in METHODS[each].losses for each in _methods(recipe))


def _has_feature_weight(*methods: str) -> Matters:
    """Whether one of these methods may be trained with its feature loss on."""
    return lambda recipe: any(name in methods and losses.feature.weight > 0 for name, _, losses in _losses(recipe))


def _has_logits_weight(*methods: str) -> Matters:
    """Whether one of these methods, or of all where none is named, may be trained with a logit loss on."""
    return lambda recipe: any(
        losses.logits.weight > 0 and (not methods or name in methods) for name, _, losses in _losses(recipe)
    )


def _compares_class_maps(recipe: Recipe) -> bool:
    """Whether class activation maps are compared: by `cat_kd`, or because TMKD adds them to a base without features."""
    return any(
        losses.feature.weight > 0 and (name == "cat_kd" or (added and "feature" not in METHODS[name].losses))
        for name, added, losses in _losses(recipe)
    )


def _compares_maps(recipe: Recipe) -> bool:
    return _compares_class_maps(recipe) or any(
        losses.feature.weight > 0 and METHODS[name].needs_feature_map for name, _, losses in _losses(recipe)
    )


def _warms_up(recipe: Recipe) -> bool:
    """Whether a weight rises at first: that of features or of the contrast, and with dkd that of the logits."""
    return _has_logits_weight("dkd")(recipe) or any(
        losses.feature.weight > 0 or losses.contrast.weight > 0 for _, _, losses in _losses(recipe)
    )


def _contrasts(recipe: Recipe) -> bool:
    return recipe.distill.may_use_tmkd and recipe.distill.contrast.weight > 0


def _sees_labels(recipe: Recipe) -> bool:
    """Whether the student's cross-entropy counts: by its weight, or as the unit of the other losses' weights."""
    balanced = recipe.distill.balance == "auto" and _learns_from_a_teacher(recipe)
    return balanced or any(losses.ce.weight > 0 for _, _, losses in _losses(recipe))


def _caches(recipe: Recipe) -> bool:
    """Whether augmentation comes in a cycle: as the recipe says, or in a race of its own accord."""
    return recipe.distill.teacher_cache.passes > 0 or recipe.distill.method == AUTO


def _looks_by_clip(recipe: Recipe) -> bool:
    return has_views(recipe) and recipe.distill.weighting.by in IMAGE_TOWER_WEIGHTINGS


def _keeps_outputs(recipe: Recipe) -> bool:
    """Whether outputs of a teacher are kept on the disk: of the crops, or of whole images."""
    crops = _caches(recipe) and _learns_from_a_teacher(recipe)
    return crops or (_looks_by_clip(recipe) and recipe.distill.weighting.seen == "image")


def _weighs(recipe: Recipe) -> bool:
    return has_views(recipe) and recipe.distill.weighting.by != "uniform"


def _reads_prompts(recipe: Recipe) -> bool:
    return needs_text_embeddings(recipe) and recipe.teacher.text.has_text_tower


_RULES: Mapping[str, Matters] = {
    "data.test": lambda recipe: recipe.data.dataset == "folder" or recipe.data.dataset.startswith("torchvision:"),
    "data.augment.scale": lambda recipe: recipe.data.augment.crop == "resized",
    "data.augment.padding": lambda recipe: recipe.data.augment.crop == "shift",
    "data.augment.mix_probability": lambda recipe: recipe.data.augment.mixup > 0 or recipe.data.augment.cutmix > 0,
    "teacher": lambda recipe: needs_teacher(recipe) or needs_text_embeddings(recipe),
    "teacher.text": lambda recipe: needs_text_embeddings(recipe) or _contrasts(recipe),
    "teacher.text.model": _reads_prompts,
    "teacher.text.weights": needs_text_embeddings,
    "teacher.text.prompts": _reads_prompts,
    "teacher.text.anchors": lambda recipe: _contrasts(recipe) or recipe.teacher.text.tower is not None,
    "teacher.text.shard": lambda recipe: needs_text_embeddings(recipe) and recipe.teacher.text.has_image_tower,
    "teacher.text.fit": lambda recipe: needs_text_embeddings(recipe) and recipe.teacher.text.weights == "fit",
    "teacher.text.fit.label_smoothing": lambda recipe: False,  # its loss has no labels to smooth
    "distill.base": lambda recipe: recipe.distill.method in ("tmkd", AUTO),
    "distill.auto": lambda recipe: recipe.distill.method == AUTO,
    "distill.balance": _learns_from_a_teacher,
    "distill.views": lambda recipe: recipe.distill.may_use_tmkd or recipe.fits_on_views,
    "distill.student_views": has_views,
    "distill.weighting": has_views,
    "distill.weighting.score": _looks_by_clip,
    "distill.weighting.seen": _looks_by_clip,
    "distill.weighting.standardise": _weighs,
    "distill.weighting.temperature": _weighs,
    "distill.feature": _has_loss("feature"),
    "distill.feature.pool": _compares_maps,
    "distill.feature.normalise": _compares_class_maps,
    "distill.feature.bank": _has_feature_weight("crd"),
    "distill.logits": _has_loss("logits"),
    "distill.logits.temperature": _has_logits_weight(),
    "distill.logits.target_weight": _has_logits_weight("dkd"),
    "distill.logits.non_target_weight": _has_logits_weight("dkd"),
    "distill.contrast": _contrasts,
    "distill.teacher_cache.share": _caches,
    "distill.teacher_cache.storage": _keeps_outputs,
    "distill.teacher_cache.max_gb": _keeps_outputs,
    "distill.teacher_cache.stages": lambda recipe: (
        _caches(recipe) and not _methods(recipe).isdisjoint(("fitnet", "reviewkd"))
    ),
    "distill.warmup": _warms_up,
    "distill.on_no_gain": lambda recipe: recipe.distill.method != "ce",
    "distill.reference": lambda recipe: recipe.distill.method == "tmkd" and recipe.distill.reference != "none",
    "student.baseline": lambda recipe: recipe.distill.method not in ("ce", AUTO),
    "train.label_smoothing": _sees_labels,
    "train.class_weights": _sees_labels,
    "export.onnx.cam": lambda recipe: recipe.export.onnx.cam,  # off, nothing of a bundle knows of it
    "export.onnx.required": lambda recipe: bool(recipe.export.variants),
    "export.onnx.keep": lambda recipe: bool(recipe.export.variants),
    "export.onnx.calibration": lambda recipe: any(name.startswith("int8") for name in recipe.export.variants),
    "export.onnx.calibration.percentile": lambda recipe: recipe.export.onnx.calibration.method == "percentile",
    "export.tensorrt": lambda recipe: bool(recipe.export.engines),
    "export.openvino": lambda recipe: bool(recipe.export.irs),
    "known": lambda recipe: recipe.known.score != "none",  # off, nothing of a bundle knows of it
    "bundle.drift": lambda recipe: recipe.bundle.drift,  # off, nothing of a bundle knows of it
    "track": lambda recipe: bool(recipe.track.to),
    "track.project": lambda recipe: recipe.track.to != ["tensorboard"],
    "track.artifacts": lambda recipe: recipe.track.to != ["tensorboard"],
    "track.mlflow": lambda recipe: "mlflow" in recipe.track.to,
    "track.wandb": lambda recipe: "wandb" in recipe.track.to,
    "parity.fp16": lambda recipe: "fp16" in (*recipe.export.variants, *recipe.export.irs),
    "parity.int8": lambda recipe: any(name.startswith("int8") for name in recipe.export.variants),
}
"""Key or section → whether it changes anything of a run, for the keys that any recipe may have."""

_DECIDED_BY: Mapping[str, str] = {
    "data.test": "data.dataset",
    "data.augment.scale": "data.augment.crop",
    "data.augment.padding": "data.augment.crop",
    "data.augment.mix_probability": "data.augment.mixup",
    "export.onnx.calibration.percentile": "export.onnx.calibration.method",
    "export.onnx": "export.onnx.precision",
    "export.tensorrt": "export.tensorrt.when",
    "export.openvino": "export.openvino.when",
    "known": "known.score",
    "track": "track.to",
    "parity": "export.onnx.precision",
}
"""Key or section → the key that decides whether it has an effect, where that is not the method."""

_DECIDED_IN_SCHEDULE: Mapping[str, str] = {
    "momentum": "optimizer",
    "nesterov": "optimizer",
    "decay_norms_and_biases": "weight_decay",
    "schedule.gamma": "schedule.kind",
    "early_stop": "epochs",
    "max_skipped_batches": "on_nan",
}


def _schedules(recipe: Recipe) -> Iterator[tuple[str, FitSettings]]:
    """The sections of a schedule that are there, with their settings."""
    if recipe.teacher.visual.fit is not None:
        yield "teacher.visual.fit", recipe.teacher.visual.fit
    yield "teacher.text.fit", recipe.teacher.text.fit
    yield "train", recipe.train


def _of_schedules(recipe: Recipe) -> Iterator[tuple[str, Matters]]:
    for section, schedule in _schedules(recipe):
        stop = schedule.early_stop
        matter = {
            "momentum": schedule.optimizer == "sgd",
            "nesterov": schedule.optimizer == "sgd",
            "decay_norms_and_biases": schedule.weight_decay > 0,
            "schedule.gamma": schedule.schedule.kind == "milestones",
            # The first epoch is the best so far, and after the last one there is nothing to stop.
            "early_stop": stop is not None and stop < schedule.epochs - 1,
            "max_skipped_batches": schedule.skips_batches,
        }
        for key, matters in matter.items():
            yield f"{section}.{key}", _known(matters)


def _of_views(recipe: Recipe) -> Iterator[tuple[str, Matters]]:
    """Keys of a view that gives the image itself, or the bare map, which has no strength."""
    if isinstance(recipe.distill.views, str):
        return
    for name, view in recipe.distill.views.items():
        idle: tuple[str, ...] = ()
        if isinstance(view, EdgeView | HighFrequencyView):
            of_map = ("operator",) if isinstance(view, EdgeView) else ("cutoff", "filter")
            idle = ("strength",) if view.mode == "replace" else of_map if view.strength == 0 else ()
        elif isinstance(view, BlurView) and view.strength == 0:
            idle = ("cutoff",)
        for key in idle:
            yield f"distill.views.{name}.{key}", _known(matters=False)


def _known(matters: bool) -> Matters:
    return lambda recipe: matters


def _flatten(key: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            _flatten(f"{key}.{name}" if key else name, inner, into)
    else:
        into[key] = value
