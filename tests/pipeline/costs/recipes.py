"""Recipes of every kind that changes what a run costs; none of their data or weights is there."""

from pathlib import Path

from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe

SMALL = """\
data: {dataset: cifar10, root: nowhere, image_size: 32, augment: {crop: shift}}
teacher:
  visual: {model: "cifar:resnet8", weights: none, fit: {epochs: 4, batch_size: 32}}
  text: {model: tiny, weights: fit, tower: teacher, fit: {epochs: 5, batch_size: 32}}
student: {model: "cifar:resnet8", baseline: full}
train: {epochs: 10, batch_size: 30}
distill: {method: tmkd, base: cat_kd, contrast: {weight: 0.5}, teacher_cache: {passes: 4}}
"""

KINDS = {
    "cached": (),
    "cold": ("distill.teacher_cache.passes=0", "distill.reference=base", "distill.student_views=true"),
    "reference": ("distill.reference=base",),
    "plain": ("distill.method=ce",),
    "kd": ("distill.method=kd",),
    "stages": ("distill.base=reviewkd",),
    "race": ("distill.method=auto", "teacher.text.tower=null"),
    "searched views": ("distill.views=auto", "distill.weighting.temperature=auto"),
    "whole images": ("distill.weighting.seen=image", "teacher.text.tower=null"),
    "without clip": ("distill.weighting.by=teacher_confidence", "distill.contrast.weight=0"),
    "pretrained": ("teacher.visual.weights=imagenet", "teacher.visual.fit=null", "student.weights=imagenet",
                   "student.model=mobilenet_v3_small", "distill.base=kd", "distill.feature.weight=0"),
}  # fmt: skip


def small_recipe(folder: Path, *overrides: str) -> Recipe:
    """The small recipe with some keys changed."""
    path = folder / "recipe.yaml"
    path.write_text(SMALL)
    return load_recipe(str(path), overrides).recipe
