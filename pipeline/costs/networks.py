"""The networks of a recipe at random initialisation, in the trainings that its stages make of them.

Speed does not depend on the values of weights, so that none are read or fetched.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from pipeline.class_names.words import class_words
from pipeline.costs.remembered import Remembered
from pipeline.data.augmentation import Augmentation
from pipeline.distill.build import build_method
from pipeline.distill.memory import TrainingSplit
from pipeline.distill.registry import METHODS, needs_stages
from pipeline.distill.settings import AUTO, DistillSettings
from pipeline.distill.task import DistillationTask
from pipeline.models.build import build_model
from pipeline.models.deployment.choice import Place
from pipeline.models.deployment.deployed import DeployedClassifier
from pipeline.recipe.needs import needs_image_tower, needs_teacher, teacher_image_size, tower_image_size
from pipeline.recipe.references import base_recipe, plain_recipe, trains_reference
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.cache_size import cache_bytes, kept_outputs
from pipeline.stages.shared.inputs import make_fitted_views, make_views
from pipeline.stages.shared.networks import image_geometry
from pipeline.tmkd.sampled_views import SampledViews
from pipeline.tmkd.teacher import MultiViewTeacher, ViewedBatch
from pipeline.tmkd.weighting import make_view_weighting, uniform_weighting
from pipeline.training.step import Training

if TYPE_CHECKING:
    from pipeline.models.clip import Clip
    from pipeline.models.tapped import TappedNetwork
    from pipeline.recipe.schema.weights import NetworkSettings


@dataclass(frozen=True)
class _Steps:
    """Stands for a loader, of which a step asks only how long an epoch is."""

    steps: int

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.steps


class CachedRow(NamedTuple):
    """An image in one view and epoch of a teacher cache: its bytes, and the files that they are in."""

    bytes: int
    files: int


class Networks:
    """What a recipe trains and asks.

    Args:
        recipe: the recipe.
        classes: the data set's names.
        images: training images.
        device: of the frozen teachers.
        mixed: whether they run under autocast.
    """

    def __init__(
        self,
        recipe: Recipe,
        classes: Sequence[str],
        images: int,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
        mixed: bool = False,
    ) -> None:
        self._recipe = recipe
        self._device, self._mixed = device, mixed
        self._folder = TemporaryDirectory()
        self._classes = classes
        self._split = TrainingSplit(np.arange(images) % len(classes), recipe.seed)
        self.views = make_views(recipe)
        self.possible_views = len(self.views)

    @cached_property
    def student(self) -> "TappedNetwork":
        """The student."""
        return self._build(self._recipe.student, self._recipe.data.image_size, "student")

    @cached_property
    def visual(self) -> "TappedNetwork | None":
        """The visual teacher; None for a recipe without one."""
        if not needs_teacher(self._recipe):
            return None
        return self._build(self._recipe.teacher.visual, teacher_image_size(self._recipe), "teacher.visual")

    @cached_property
    def clip(self) -> "Clip | None":
        """CLIP, where an image tower is part of the recipe; with another network as its tower, that network in it."""
        from pipeline.models.clip import build_clip
        from pipeline.models.clip_tower import TowerClip

        text = self._recipe.teacher.text
        if self.visual is None or not text.has_image_tower or not self.has_text:
            return None
        if text.tower is None:
            return build_clip(text.model)
        return TowerClip(self._projected, self._tower)

    @property
    def has_text(self) -> bool:
        """Whether the recipe has a stage `text` that looks at images."""
        from pipeline.recipe.needs import needs_text_embeddings

        return needs_text_embeddings(self._recipe)

    @property
    def feature_width(self) -> int:
        """Numbers that a tower gives of an image."""
        return self._tower.shape.channels

    @cached_property
    def _tower(self) -> "TappedNetwork":
        tower = self._recipe.teacher.text.tower
        assert tower is not None
        if tower.is_teacher:
            assert self.visual is not None
            return self.visual
        return self._build(tower, tower_image_size(self._recipe), "teacher.text.tower")

    @cached_property
    def _projected(self) -> "Clip":
        from pipeline.models.clip_tower import build_projected_clip

        text = self._recipe.teacher.text
        model, width = (text.model, None) if text.has_text_tower else (None, self._text_width)
        return build_projected_clip(model, self._tower.shape.channels, width=width)

    @property
    def _text_width(self) -> int:
        """Width of text embeddings where a file has them; 512, as of most CLIPs."""
        return 512

    @cached_property
    def teacher(self) -> MultiViewTeacher | None:
        """The multi-view teacher in all views that the recipe may use, as students ask it: in the runtime that the
        recipe says, or `auto` finds. None for a recipe without a teacher."""
        if self.visual is None:
            return None
        views, settings = make_views(self._recipe), self._recipe.distill.weighting
        visual = self._deployed(self.visual)
        if len(views) == 1:
            return MultiViewTeacher(visual, views, uniform_weighting, 1.0)
        clip = self.clip if needs_image_tower(self._recipe) else None
        texts = functional.normalize(torch.randn(len(views), len(self._classes), self._width_of(clip)), dim=-1)
        scale = None if clip is None else 1 / clip.temperature.item()
        weighting = make_view_weighting(settings, texts.to(self._device), scale)
        tower = self._looking(clip) if clip is not None and settings.seen == "crop" else {}
        temperature = 1.0 if settings.temperature == "auto" else settings.temperature
        return MultiViewTeacher(visual, views, weighting, temperature, **tower)

    def _looking(self, clip: "Clip") -> dict[str, Any]:
        """How CLIP looks at crops: by a projection where the visual teacher is its tower, else by itself."""
        from pipeline.models.clip_tower import encode_features
        from pipeline.models.deployment.deployed import DeployedTower

        tower = self._recipe.teacher.text.tower
        if tower is not None and tower.is_teacher:
            return {"projection": partial(encode_features, copy.deepcopy(self._projected).to(self._device))}
        own = copy.deepcopy(clip).to(self._device).eval().requires_grad_(False)
        return {"image_tower": DeployedTower(own, self._recipe.teacher.runtime, self._place("clip"))}

    def _deployed(self, visual: "TappedNetwork") -> DeployedClassifier:
        distill, own = self._settings("method"), copy.deepcopy(visual).to(self._device)
        own.tap_stages = needs_stages(distill.method, distill.base)
        return DeployedClassifier(own, self._recipe.teacher.runtime, self._place("visual"))

    def _place(self, name: str) -> Place:
        """Decisions and exported files of this trial, which no run uses."""
        images = torch.rand(8, 3, self._recipe.data.image_size, self._recipe.data.image_size)
        folder = Path(self._folder.name)
        return Place(folder, name, self._device, self._mixed, lambda: images.to(self._device), len(self._split.labels))

    def _width_of(self, clip: "Clip | None") -> int:
        if clip is None:
            return self._text_width
        size = clip.size or self._recipe.data.image_size
        with torch.no_grad():
            return clip.encode_image(torch.zeros(1, 3, size, size, device=clip.mean.device)).shape[1]

    @property
    def taught(self) -> tuple[str, ...]:
        """Of `method` and `base`, those that the recipe trains."""
        distill = self._recipe.distill
        taught = distill.method == AUTO or METHODS[distill.method].needs_teacher
        return (*(("method",) if taught else ()), *(("base",) if trains_reference(self._recipe) else ()))

    def cached(self, seen: ViewedBatch) -> "CachedRow":
        """What the teacher cache keeps of an image in one view and epoch, after a look at any batch."""
        distill = self._settings("method")
        cache = distill.teacher_cache.model_copy(update={"passes": 1})
        recipe = self._recipe.model_copy(update={"distill": distill.model_copy(update={"teacher_cache": cache})})
        assert self.visual is not None
        shape, kept = self.visual.shape, dict(kept_outputs((recipe,), self.visual.shape))
        width = 0
        if seen.embeddings is not None:
            kept["embeddings"], width = "embedding", seen.embeddings.shape[-1]
        return CachedRow(cache_bytes(recipe, kept, 1, 1, shape, width), len(kept))

    def _settings(self, name: str) -> DistillSettings:
        """The settings of a student's training; of a race, those of its most elaborate candidate."""
        distill = self._recipe.distill
        if name == "plain":
            return plain_recipe(self._recipe).distill
        if name == "base":
            return base_recipe(self._recipe).distill
        if distill.method != AUTO:
            return distill
        return distill.of(next((each for each in distill.candidates if each.method == "tmkd"), distill.candidates[-1]))

    def training(self, name: str) -> Training:
        """A training by the operation that it is the price of: `plain`, `method`, `base` or `teacher fit`."""
        if name == "teacher fit":
            return self._teacher_fit()
        recipe, distill = self._recipe, self._settings(name)
        student = copy.deepcopy(self.student)
        teacher = self.teacher if name != "plain" else None
        remembered, shape = None, None
        if teacher is not None:
            student.tap_stages = needs_stages(distill.method, distill.base)
            shape = teacher.visual.shape
            remembered = self._remembered(teacher, distill, rgb=name == "base")
        anchors = None
        if distill.method == "tmkd" and distill.contrast.weight:
            anchors = torch.randn(len(self._classes), self._width_of(self.clip))
        method = build_method(distill, student.shape, shape, anchors, recipe.train.label_smoothing, self._split)
        views = None
        if name == "method" and teacher is not None and len(teacher.views) > 1 and recipe.distill.student_views:
            views = SampledViews(teacher.views, recipe.seed, "view for the student")
        return self._training(DistillationTask(student, method), recipe.train, remembered, views)

    def _remembered(self, teacher: MultiViewTeacher, distill: DistillSettings, rgb: bool) -> Remembered:
        from pipeline.tmkd.views.views import Views

        size = self._recipe.data.image_size
        noise = torch.rand(2, 3, size, size, device=self._device)
        if rgb:
            teacher = MultiViewTeacher(teacher.visual, Views({}), uniform_weighting, 1.0)
        seen = teacher.look(noise)
        if seen.embeddings is None and len(teacher.views) > 1 and needs_image_tower(self._recipe):
            # Of whole images: they are there before the training.
            width = self._width_of(self.clip)
            seen = replace(seen, embeddings=torch.randn(len(teacher.views), len(noise), width, device=self._device))
        is_cached = bool(distill.teacher_cache.passes) or self._recipe.distill.method == AUTO
        return Remembered(teacher, seen, distill.feature.pool if is_cached else None)

    def _teacher_fit(self) -> Training:
        recipe, visual = self._recipe, copy.deepcopy(self.visual)
        fit = recipe.teacher.visual.fit
        assert fit is not None and visual is not None
        visual = visual.requires_grad_(True)
        method = build_method(DistillSettings(method="ce"), visual.shape, None, None, fit.label_smoothing)
        views = (
            SampledViews(make_fitted_views(recipe), 0, "view for the visual teacher") if recipe.fits_on_views else None
        )
        return self._training(DistillationTask(visual, method), fit, None, views)

    def text_training(self) -> Training:
        """The fit of the text teacher; with a tower, on features `[B, V, C]`."""
        from pipeline.tmkd.class_texts import AnchorTexts, PromptTexts
        from pipeline.tmkd.prompts import Prompts
        from pipeline.tmkd.text_fit import TextFit
        from pipeline.tmkd.tower_fit import TowerFit

        recipe, text = self._recipe, self._recipe.teacher.text
        words = class_words(text.class_names, list(self._classes))
        views = make_views(recipe)
        assert self.clip is not None
        task: Any
        if text.tower is None:
            clip = copy.deepcopy(self.clip).requires_grad_(True)
            task = TextFit(clip, Prompts.load(text.prompts), views, words, 0)
        else:
            clip = copy.deepcopy(self._projected).requires_grad_(True)
            texts: Any = (
                AnchorTexts(torch.randn(len(words), self._text_width), len(views))
                if text.anchors is not None
                else PromptTexts(clip, Prompts.load(text.prompts), views, words, 0)
            )
            task = TowerFit(clip, texts, views, 0)
        return self._training(task, text.fit, None, None)

    def _training(self, task: Any, fit: Any, teacher: Any, views: SampledViews | None) -> Training:
        recipe = self._recipe
        loader: Any = _Steps(10**9)  # the rate of learning hardly changes over a few steps
        augmentation = Augmentation(recipe.data.augment, image_geometry(recipe), recipe.seed)
        return Training("probe", task, loader, augmentation, fit, recipe.seed, teacher, views)

    def _build(self, network: "NetworkSettings", size: int, section: str) -> "TappedNetwork":
        return build_model(
            network.model,
            network.arguments,
            "none",
            len(self._classes),
            size,
            seed=0,
            purpose=section,
            replace_head=True,
            mean=network.mean,
            std=network.std,
            classifier=network.classifier,
        ).tapped
