"""The teachers as the stages `teacher`, `text` and `fusion` left them: on views, weighed, and on the device."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.class_names.words import class_words
from pipeline.distill.registry import needs_stages
from pipeline.distill.settings import DistillSettings
from pipeline.recipe.needs import has_views, needs_image_tower, needs_text_embeddings, weighs_by_text
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.inputs import Data, read_json_output
from pipeline.stages.shared.networks import read_classifier
from pipeline.tmkd.choice import FusionChoice
from pipeline.tmkd.settings import WeightingSettings

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

    from pipeline.models.clip import Clip
    from pipeline.models.deployment.deployed import DeployedClassifier, DeployedTower
    from pipeline.tmkd.sampled_views import SampledViews
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.views.views import Views
    from pipeline.tmkd.weighting import ViewWeighting


def make_views(recipe: Recipe) -> "Views":
    """The views that the method may use: rgb alone where it has no use of others; for `auto`, all candidates."""
    from pipeline.tmkd.views.views import Views

    return Views(recipe.distill.possible_views if has_views(recipe) else {})


def make_fitted_views(recipe: Recipe) -> "Views":
    """The views that a teacher is fitted on which is to know them; for `auto`, some of each domain."""
    from pipeline.tmkd.views.candidates import FITTED
    from pipeline.tmkd.views.views import Views

    return Views(FITTED if recipe.distill.views == "auto" else recipe.distill.views)


@dataclass(frozen=True)
class TextTeacher:
    """What the stage `text` left.

    Attributes:
        embeddings: `[V, K, D]` float32, unit length, views as in `make_views`; of the prompts.
        weighing: the same, of what weighs the views: under `random_prompts` of prompts that say nothing.
        clip: on the CPU, where the image tower is used; else None.
    """

    embeddings: "torch.Tensor"
    weighing: "torch.Tensor"
    clip: "Clip | None"


def read_text_teacher(context: StageContext, *, looks: bool = True) -> TextTeacher | None:
    """The text teacher, without CLIP unless it `looks` at images; None where the recipe has no use of one."""
    import torch

    from exporters.student.finite import read_safetensors

    recipe = context.recipe
    if not needs_text_embeddings(recipe):
        return None
    folder = context.run.folder("text")
    saved = read_safetensors(folder / "embeddings.safetensors")
    weighing = saved["random" if recipe.distill.weighting.by == "random_prompts" else "text"]
    clip: Clip | None = None
    if looks and needs_image_tower(recipe):
        from pipeline.models.clip import build_clip, load_clip
        from pipeline.stages.shared.text_tower import read_tower_clip

        if recipe.teacher.text.tower is not None:
            clip = read_tower_clip(recipe, context.run)
        elif recipe.teacher.text.weights == "fit":
            clip = build_clip(recipe.teacher.text.model)
            clip.model.load_state_dict(read_safetensors(folder / "clip.safetensors"))
        else:
            clip = load_clip(recipe.teacher.text.model, recipe.teacher.text.weights)
        clip = clip.eval().requires_grad_(False)
    return TextTeacher(saved["text"].to(torch.float32), weighing.to(torch.float32), clip)


def text_width(context: StageContext) -> int:
    """Width D of the text teacher's embeddings, read without loading it; 0 where the recipe has no use of one."""
    from safetensors import safe_open

    if not needs_text_embeddings(context.recipe):
        return 0
    with safe_open(context.run.folder("text") / "embeddings.safetensors", "np") as saved:
        return int(saved.get_slice("text").get_shape()[-1])


@dataclass(frozen=True)
class TeacherParts:
    """The teachers before views and weights are settled.

    Attributes:
        visual: the visual teacher, on the device, in its runtime.
        names: of all views that may be used, rgb first.
        settings: how they are weighed.
        weighing: `[V, K, D]` on the CPU, what weighs them; None where no text does.
        logit_scale: of the CLIP whose image tower looks at the views.
        image_tower: that tower in its runtime; None where the weights need none.
        projection: in its place, where the visual teacher is the tower: its pooled features → embeddings.
    """

    visual: "DeployedClassifier"
    names: tuple[str, ...]
    settings: WeightingSettings
    weighing: "torch.Tensor | None"
    logit_scale: float | None
    image_tower: "DeployedTower | None"
    projection: "Callable[[torch.Tensor], torch.Tensor] | None" = None

    def weighting(self, names: tuple[str, ...], device: "torch.device | None" = None) -> "ViewWeighting":
        """What scores some of the views, on the device; None: the CPU."""
        from pipeline.tmkd.weighting import make_view_weighting, uniform_weighting

        if len(names) == 1:
            return uniform_weighting
        rows = None if self.weighing is None else self.weighing[[self.names.index(name) for name in names]].to(device)
        return make_view_weighting(self.settings, rows, self.logit_scale)

    def teacher(self, choice: FusionChoice) -> "MultiViewTeacher":
        """The teacher on the chosen views, weighed as chosen."""
        from pipeline.tmkd.teacher import MultiViewTeacher
        from pipeline.tmkd.views.views import Views
        from pipeline.tmkd.weight_rule import in_order

        several = len(choice.names) > 1
        return MultiViewTeacher(
            self.visual,
            Views(choice.views),
            self.weighting(choice.names, self.visual.device),
            choice.temperature,
            self.image_tower if several else None,
            in_order(choice.statistics, choice.names),
            self.projection if several else None,
        )


def read_teacher_parts(context: StageContext, fabric: "Fabric", *, stages: bool = False) -> TeacherParts:
    """Both teachers, on the device, each in the runtime that `teacher.runtime` says or the first run has found.

    Args:
        context: of the stage.
        fabric: device and precision.
        stages: whether the maps of the visual teacher's stages are wanted too.

    Raises:
        UnavailableError: the runtime that was asked for is not here, or cannot run a teacher.
        GateError: it does not reproduce a teacher.
    """
    from functools import partial

    from pipeline.distributed.collectives import leader_first
    from pipeline.models.clip_tower import TowerClip, encode_features
    from pipeline.stages.shared.teacher_runtime import deploy_tower, deploy_visual

    recipe = context.recipe
    visual = read_classifier(context.run.folder("teacher"), recipe.teacher.visual.classifier, "teacher.visual")
    visual.tap_stages = stages
    text = read_text_teacher(context) if weighs_by_text(recipe) else None
    clip = None if text is None else text.clip
    own = recipe.teacher.text.tower
    looks_once = isinstance(clip, TowerClip) and own is not None and own.is_teacher
    if clip is not None and looks_once:
        clip.model.visual.to(fabric.device)  # the projection
    with leader_first():  # a decision for a runtime is made and written once
        return TeacherParts(
            visual=deploy_visual(context, fabric, visual),
            names=make_views(recipe).names,
            settings=recipe.distill.weighting,
            weighing=None if text is None else text.weighing,
            logit_scale=None if clip is None else 1 / clip.temperature.item(),
            image_tower=None if clip is None or looks_once else deploy_tower(context, fabric, clip),
            projection=partial(encode_features, clip) if clip is not None and looks_once else None,
        )


CHOICE = "views.json"
"""Of the stage `fusion`, where the method uses views: a `FusionChoice`."""


def read_choice(context: StageContext) -> FusionChoice:
    """The views and how they are weighed: what the recipe says, or what the stage `fusion` found where it is asked."""
    distill = context.recipe.distill
    if distill.is_fitted:
        return FusionChoice.model_validate(read_json_output(context, "fusion", CHOICE))
    return given_choice(distill)


def given_choice(distill: DistillSettings) -> FusionChoice:
    """The views and how they are weighed, as the recipe says; what it leaves open does not count."""
    temperature = distill.weighting.temperature
    views = dict(distill.possible_views) if distill.uses_views else {}
    return FusionChoice(views=views, temperature=1.0 if temperature == "auto" else temperature)


def read_teacher(context: StageContext, fabric: "Fabric") -> "MultiViewTeacher":
    """The multi-view teacher that the student learns from, on the device."""
    distill = context.recipe.distill
    parts = read_teacher_parts(context, fabric, stages=needs_stages(distill.method, distill.base))
    return parts.teacher(read_choice(context))


def student_views(recipe: Recipe, teacher: "MultiViewTeacher | None") -> "SampledViews | None":
    """The view, of the teacher's, in which the student sees each image; None where it sees the image itself."""
    from pipeline.tmkd.sampled_views import SampledViews

    if teacher is None or len(teacher.views) == 1 or not recipe.distill.student_views:
        return None
    return SampledViews(teacher.views, recipe.seed, "view for the student")


def read_anchors(context: StageContext, data: Data) -> "torch.Tensor | None":
    """The text anchors `[K, D]` of the contrast, in the order of the classes; None where there is no contrast."""
    from pipeline.models.embeddings import read_embeddings

    recipe, classes = context.recipe, data.index.classes
    if not recipe.distill.may_use_tmkd or recipe.distill.contrast.weight == 0:
        return None
    if recipe.teacher.text.anchors is not None:
        words = class_words(recipe.teacher.text.class_names, classes)
        return read_embeddings(Path(recipe.teacher.text.anchors).expanduser(), classes, words)
    text = read_text_teacher(context, looks=False)
    return None if text is None else text.embeddings[0]
