"""The trainings that the stages of a recipe make of its networks, to be tried for a few steps."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch

from pipeline.class_names.words import class_words
from pipeline.costs.networks import Networks
from pipeline.costs.remembered import Remembered
from pipeline.data.augmentation import Augmentation
from pipeline.distill.build import build_method
from pipeline.distill.registry import needs_stages
from pipeline.distill.settings import AUTO, DistillSettings
from pipeline.distill.task import DistillationTask
from pipeline.recipe.needs import needs_image_tower
from pipeline.stages.shared.networks import image_geometry
from pipeline.stages.shared.teachers import make_fitted_views, make_views
from pipeline.tmkd.sampled_views import SampledViews
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.weighting import uniform_weighting
from pipeline.training.step import Training


@dataclass(frozen=True)
class _Steps:
    """Stands for a loader, of which a step asks only how long an epoch is."""

    steps: int

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.steps


class Trainings:
    """The trainings of a recipe.

    Args:
        networks: what they train, and ask.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks, self._recipe = networks, networks.recipe

    def of(self, name: str) -> Training:
        """A training by the operation that it is the price of: `plain`, `method`, `base` or `teacher fit`."""
        if name == "teacher fit":
            return self._teacher_fit()
        recipe, distill = self._recipe, self._networks.settings(name)
        student = copy.deepcopy(self._networks.student)
        teacher = self._networks.teacher if name != "plain" else None
        remembered, shape = None, None
        if teacher is not None:
            student.tap_stages = needs_stages(distill.method, distill.base)
            shape = teacher.visual.shape
            remembered = self._remembered(teacher, distill, rgb=name == "base")
        anchors = self._networks.anchors if distill.method == "tmkd" and distill.contrast.weight else None
        method = build_method(
            distill, student.shape, shape, anchors, recipe.train.label_smoothing, self._networks.split
        )
        views = None
        if name == "method" and teacher is not None and len(teacher.views) > 1 and recipe.distill.student_views:
            views = SampledViews(teacher.views, recipe.seed, "view for the student")
        return self._training(DistillationTask(student, method), recipe.train, remembered, views)

    def _remembered(self, teacher: MultiViewTeacher, distill: DistillSettings, rgb: bool) -> Remembered:
        from pipeline.tmkd.views.views import Views

        size = self._recipe.data.image_size
        noise = torch.rand(2, 3, size, size, device=self._networks.device)
        if rgb:
            teacher = MultiViewTeacher(teacher.visual, Views({}), uniform_weighting, 1.0)
        seen = teacher.look(noise)
        if seen.embeddings is None and len(teacher.views) > 1 and needs_image_tower(self._recipe):
            # Of whole images: they are there before the training.
            width = self._networks.width_of(self._networks.clip)
            seen = replace(
                seen, embeddings=torch.randn(len(teacher.views), len(noise), width, device=self._networks.device)
            )
        is_cached = bool(distill.teacher_cache.passes) or self._recipe.distill.method == AUTO
        return Remembered(teacher, seen, distill.feature.pool if is_cached else None)

    def _teacher_fit(self) -> Training:
        recipe, visual = self._recipe, copy.deepcopy(self._networks.visual)
        fit = recipe.teacher.visual.fit
        assert fit is not None and visual is not None
        visual = visual.requires_grad_(True)
        method = build_method(DistillSettings(method="ce"), visual.shape, None, None, fit.label_smoothing)
        views = (
            SampledViews(make_fitted_views(recipe), 0, "view for the visual teacher") if recipe.fits_on_views else None
        )
        return self._training(DistillationTask(visual, method), fit, None, views)

    def of_text(self) -> Training:
        """The fit of the text teacher; with a tower, on features `[B, V, C]`."""
        from pipeline.tmkd.class_texts import AnchorTexts, PromptTexts
        from pipeline.tmkd.prompts import Prompts
        from pipeline.tmkd.text_fit import TextFit
        from pipeline.tmkd.tower_fit import TowerFit

        recipe, text = self._recipe, self._recipe.teacher.text
        words = class_words(text.class_names, list(self._networks.classes))
        views = make_views(recipe)
        assert self._networks.clip is not None
        task: Any
        if text.tower is None:
            clip = copy.deepcopy(self._networks.clip).requires_grad_(True)
            task = TextFit(clip, Prompts.load(text.prompts), views, words, 0)
        else:
            clip = copy.deepcopy(self._networks.projected).requires_grad_(True)
            texts: Any = (
                AnchorTexts(torch.randn(len(words), self._networks.text_width), len(views))
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
