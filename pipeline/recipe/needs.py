"""What a recipe needs: which teachers, which of CLIP's towers, views or not; under `auto` what any candidate does."""

from pipeline.distill.registry import METHODS
from pipeline.recipe.schema.recipe import Recipe
from pipeline.tmkd.settings import IMAGE_TOWER_WEIGHTINGS


def needs_teacher(recipe: Recipe) -> bool:
    """Whether the visual teacher is used: by the method, or as the yardstick of a gate."""
    taught = any(METHODS[each.method].needs_teacher for each in recipe.distill.candidates)
    return taught or recipe.gates.max_drop_from_teacher is not None


def has_views(recipe: Recipe) -> bool:
    """Whether the teacher sees more than the image itself."""
    return recipe.distill.uses_views


def weighs_by_text(recipe: Recipe) -> bool:
    """Whether the weights of the views come from the text teacher."""
    return has_views(recipe) and recipe.distill.weighting.by in (*IMAGE_TOWER_WEIGHTINGS, "text")


def needs_text_embeddings(recipe: Recipe) -> bool:
    """Whether the text teacher is used: by the weights of the views, or by the contrast."""
    contrasts = recipe.distill.may_use_tmkd and recipe.distill.contrast.weight > 0
    return weighs_by_text(recipe) or (contrasts and recipe.teacher.text.anchors is None)


def needs_image_tower(recipe: Recipe) -> bool:
    """Whether CLIP looks at images while the student is trained."""
    return has_views(recipe) and recipe.distill.weighting.by in IMAGE_TOWER_WEIGHTINGS


def looks_at_whole_images(recipe: Recipe) -> bool:
    """Whether CLIP looks once at each whole image, in place of its crops."""
    return needs_image_tower(recipe) and recipe.distill.weighting.seen == "image"


def tower_image_size(recipe: Recipe) -> int:
    """Side of the square that the text teacher's tower sees, where that is a network of the recipe's own."""
    tower = recipe.teacher.text.tower
    return (tower.image_size if tower is not None else None) or recipe.data.image_size


def teacher_image_size(recipe: Recipe) -> int:
    """Side of the square that the visual teacher sees."""
    return recipe.teacher.visual.image_size or recipe.data.image_size
