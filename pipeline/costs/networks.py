"""The networks of a recipe at random initialisation.

Speed does not depend on the values of weights, so that none are read or fetched.
"""

import copy
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from pipeline.distill.build import build_method
from pipeline.distill.memory import TrainingSplit
from pipeline.distill.race.refusals import workable_candidates
from pipeline.distill.registry import METHODS, needs_stages
from pipeline.distill.settings import AUTO, DistillSettings
from pipeline.models.build import build_model
from pipeline.models.deployment.choice import Place
from pipeline.models.deployment.deployed import DeployedClassifier
from pipeline.recipe.needs import needs_image_tower, needs_teacher, teacher_image_size, tower_image_size
from pipeline.recipe.references import base_recipe, plain_recipe, trains_reference
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.cache_size import cache_bytes, kept_outputs, seen_bytes
from pipeline.stages.shared.teachers import make_views
from pipeline.tmkd.teacher import MultiViewTeacher, ViewedBatch
from pipeline.tmkd.weighting import make_view_weighting, uniform_weighting

if TYPE_CHECKING:
    from pipeline.distill.race.candidates import Candidate
    from pipeline.models.clip import Clip
    from pipeline.models.tapped import TappedNetwork
    from pipeline.recipe.schema.weights import NetworkSettings


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

    Attributes:
        recipe, classes, device: as given.
        split: labels of the training images, made up.
        views: those that the recipe may use.
        possible_views: how many these are.
    """

    def __init__(
        self,
        recipe: Recipe,
        classes: Sequence[str],
        images: int,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
        mixed: bool = False,
    ) -> None:
        self.recipe = recipe
        self.device, self._mixed = device, mixed
        self._folder = TemporaryDirectory()
        self.classes = classes
        self.split = TrainingSplit(np.arange(images) % len(classes), recipe.seed)
        self.views = make_views(recipe)
        self.possible_views = len(self.views)

    @cached_property
    def student(self) -> "TappedNetwork":
        """The student."""
        return self._build(self.recipe.student, self.recipe.data.image_size, "student")

    @cached_property
    def visual(self) -> "TappedNetwork | None":
        """The visual teacher; None for a recipe without one."""
        if not needs_teacher(self.recipe):
            return None
        return self._build(self.recipe.teacher.visual, teacher_image_size(self.recipe), "teacher.visual")

    @cached_property
    def clip(self) -> "Clip | None":
        """CLIP, where an image tower is part of the recipe; with another network as its tower, that network in it."""
        from pipeline.models.clip import build_clip
        from pipeline.models.clip_tower import TowerClip

        text = self.recipe.teacher.text
        if self.visual is None or not text.has_image_tower or not self.has_text:
            return None
        if text.tower is None:
            return build_clip(text.model)
        return TowerClip(self.projected, self._tower)

    @property
    def has_text(self) -> bool:
        """Whether the recipe has a stage `text` that looks at images."""
        from pipeline.recipe.needs import needs_text_embeddings

        return needs_text_embeddings(self.recipe)

    @property
    def feature_width(self) -> int:
        """Numbers that a tower gives of an image."""
        return self._tower.shape.channels

    @cached_property
    def _tower(self) -> "TappedNetwork":
        tower = self.recipe.teacher.text.tower
        assert tower is not None
        if tower.is_teacher:
            assert self.visual is not None
            return self.visual
        return self._build(tower, tower_image_size(self.recipe), "teacher.text.tower")

    @cached_property
    def projected(self) -> "Clip":
        """CLIP with a projection of the tower's features in the place of its image tower."""
        from pipeline.models.clip_tower import build_projected_clip

        text = self.recipe.teacher.text
        model, width = (text.model, None) if text.has_text_tower else (None, self.text_width)
        return build_projected_clip(model, self._tower.shape.channels, width=width)

    @property
    def text_width(self) -> int:
        """Width of text embeddings where a file has them; 512, as of most CLIPs."""
        return 512

    @cached_property
    def teacher(self) -> MultiViewTeacher | None:
        """The multi-view teacher in all views that the recipe may use, as students ask it: in the runtime that the
        recipe says, or `auto` finds. None for a recipe without a teacher."""
        if self.visual is None:
            return None
        views, settings = make_views(self.recipe), self.recipe.distill.weighting
        visual = self._deployed(self.visual)
        if len(views) == 1:
            return MultiViewTeacher(visual, views, uniform_weighting, 1.0)
        clip = self.clip if needs_image_tower(self.recipe) else None
        texts = functional.normalize(torch.randn(len(views), len(self.classes), self.width_of(clip)), dim=-1)
        scale = None if clip is None else 1 / clip.temperature.item()
        weighting = make_view_weighting(settings, texts.to(self.device), scale)
        tower = self._looking(clip) if clip is not None and settings.seen == "crop" else {}
        temperature = 1.0 if settings.temperature == "auto" else settings.temperature
        return MultiViewTeacher(visual, views, weighting, temperature, **tower)

    def _looking(self, clip: "Clip") -> dict[str, Any]:
        """How CLIP looks at crops: by a projection where the visual teacher is its tower, else by itself."""
        from pipeline.models.clip_tower import encode_features
        from pipeline.models.deployment.deployed import DeployedTower

        tower = self.recipe.teacher.text.tower
        if tower is not None and tower.is_teacher:
            return {"projection": partial(encode_features, copy.deepcopy(self.projected).to(self.device))}
        own = copy.deepcopy(clip).to(self.device).eval().requires_grad_(False)
        return {"image_tower": DeployedTower(own, self.recipe.teacher.runtime, self._place("clip"))}

    def _deployed(self, visual: "TappedNetwork") -> DeployedClassifier:
        distill, own = self.settings("method"), copy.deepcopy(visual).to(self.device)
        own.tap_stages = needs_stages(distill.method, distill.base)
        return DeployedClassifier(own, self.recipe.teacher.runtime, self._place("visual"))

    def _place(self, name: str) -> Place:
        """Decisions and exported files of this trial, which no run uses."""
        images = torch.rand(8, 3, self.recipe.data.image_size, self.recipe.data.image_size)
        folder = Path(self._folder.name)
        return Place(folder, name, self.device, self._mixed, lambda: images.to(self.device), len(self.split.labels))

    def width_of(self, clip: "Clip | None") -> int:
        """Width of the embeddings of images and texts."""
        if clip is None:
            return self.text_width
        size = clip.size or self.recipe.data.image_size
        with torch.no_grad():
            return clip.encode_image(torch.zeros(1, 3, size, size, device=clip.mean.device)).shape[1]

    @property
    def taught(self) -> tuple[str, ...]:
        """Of `method` and `base`, those that the recipe trains."""
        distill = self.recipe.distill
        taught = distill.method == AUTO or METHODS[distill.method].needs_teacher
        return (*(("method",) if taught else ()), *(("base",) if trains_reference(self.recipe) else ()))

    def cached(self, seen: ViewedBatch) -> "CachedRow":
        """What the teacher cache keeps of an image in one view and epoch, after a look at any batch."""
        distill = self.settings("method")
        cache = distill.teacher_cache.model_copy(update={"passes": 1})
        recipe = self.recipe.model_copy(update={"distill": distill.model_copy(update={"teacher_cache": cache})})
        assert self.visual is not None
        shape, kept = self.visual.shape, dict(kept_outputs((recipe,), self.visual.shape))
        width = 0
        if seen.embeddings is not None:
            kept["embeddings"], width = "embedding", seen.embeddings.shape[-1]
        return CachedRow(cache_bytes(recipe, kept, 1, 1, shape, width), len(kept))

    @property
    def seen_row(self) -> int:
        """Bytes of a whole image that CLIP looks at once, in all views; 0 where it looks at crops."""
        views = len(make_views(self.recipe))
        if views == 1 or self.recipe.distill.weighting.seen == "crop" or not needs_image_tower(self.recipe):
            return 0
        return seen_bytes(self.recipe, 1, views, self.width_of(self.clip)) if self.clip is not None else 0

    def settings(self, name: str) -> DistillSettings:
        """The settings of a student's training; of a race, those of its most elaborate candidate."""
        distill = self.recipe.distill
        if name == "plain":
            return plain_recipe(self.recipe).distill
        if name == "base":
            return base_recipe(self.recipe).distill
        if distill.method != AUTO:
            return distill
        return distill.of(next((each for each in self.candidates if each.method == "tmkd"), self.candidates[-1]))

    @cached_property
    def candidates(self) -> "tuple[Candidate, ...]":
        """The candidates of a race that the networks allow, as its stage finds them; none where the method is named.

        Raises:
            UsageError: the networks suit none that learns from a teacher, or not one that the recipe names.
        """
        if self.recipe.distill.method != AUTO:
            return ()
        shape = None if self.visual is None else self.visual.shape
        anchors, smoothing = self.anchors, self.recipe.train.label_smoothing

        def build(distill: DistillSettings) -> object:
            return build_method(distill, self.student.shape, shape, anchors, smoothing, self.split)

        return workable_candidates(self.recipe.distill, build)[0]

    @property
    def anchors(self) -> torch.Tensor | None:
        """What stands for the text anchors of the contrast; None without a contrast."""
        if not self.recipe.distill.contrast.weight:
            return None
        return torch.randn(len(self.classes), self.width_of(self.clip))

    def _build(self, network: "NetworkSettings", size: int, section: str) -> "TappedNetwork":
        return build_model(
            network.model,
            network.arguments,
            "none",
            len(self.classes),
            size,
            seed=0,
            purpose=section,
            replace_head=True,
            mean=network.mean,
            std=network.std,
            classifier=network.classifier,
        ).tapped
