"""The networks of a recipe, built or read, and how an image becomes their input."""

from pathlib import Path
from typing import TYPE_CHECKING

from exporters.images.preprocessing import Geometry, Preprocessing
from pipeline.recipe.needs import teacher_image_size
from pipeline.recipe.schema.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.models.build import Model
    from pipeline.models.tapped import TappedNetwork


def image_geometry(recipe: Recipe) -> Geometry:
    """Resize and crop under the recipe's sizes."""
    return Geometry(recipe.data.image_size, recipe.data.resize_to, recipe.data.interpolation)


def student_preprocessing(
    recipe: Recipe, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Preprocessing:
    """How an image becomes the student's input, under the recipe's sizes."""
    geometry = image_geometry(recipe)
    return Preprocessing(geometry.size, geometry.resize, mean, std, geometry.interpolation)


def teacher_preprocessing(
    recipe: Recipe, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Preprocessing:
    """How an image becomes the visual teacher's input, as far as it can be said apart: the student's crop at its size.

    Within a run, the teacher takes what was cropped for the student, and resizes that (`resize_images`).
    """
    return resized_preprocessing(recipe, teacher_image_size(recipe), mean, std)


def resized_preprocessing(
    recipe: Recipe, size: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Preprocessing:
    """How an image becomes the input of a network of another size than the student's: the student's crop, resized."""
    if size == recipe.data.image_size:
        return student_preprocessing(recipe, mean, std)
    resize = min(round(recipe.data.resize_to * size / recipe.data.image_size), 8192)  # the largest that it may be
    return Preprocessing(size=size, resize=resize, mean=mean, std=std, interpolation="bicubic")


def build_student(recipe: Recipe, classes: int) -> "Model":
    """The student before training, its first weights loaded.

    Raises:
        UsageError: no such architecture, it cannot take images of this size, or `student.classifier` is none.
        UnavailableError: the weights are not to be had or do not fit.
    """
    from pipeline.models.build import build_model

    return build_model(
        recipe.student.model,
        recipe.student.arguments,
        recipe.student.weights,
        classes,
        recipe.data.image_size,
        seed=recipe.seed,
        purpose="student",
        replace_head=True,
        mean=recipe.student.mean,
        std=recipe.student.std,
        sha256=recipe.student.sha256,
        weights_key=recipe.student.weights_key,
        classifier=recipe.student.classifier,
    )


def build_visual_teacher(recipe: Recipe, classes: int) -> "Model":
    """The visual teacher before its fit, its first weights loaded.

    Raises:
        UsageError: no such architecture, it cannot take images of this size, or `teacher.visual.classifier` is none.
        UnavailableError: the weights are not to be had or do not fit.
    """
    from pipeline.models.build import build_model

    visual = recipe.teacher.visual
    return build_model(
        visual.model,
        visual.arguments,
        visual.weights,
        classes,
        teacher_image_size(recipe),
        seed=recipe.data.split_seed,
        purpose="teacher.visual",
        replace_head=visual.fit is not None,
        mean=visual.mean,
        std=visual.std,
        sha256=visual.sha256,
        weights_key=visual.weights_key,
        classifier=visual.classifier,
    )


def read_classifier(folder: Path, classifier: str | None = None, section: str = "network") -> "TappedNetwork":
    """A network that an earlier stage saved, with its taps and at its own image size, on the CPU.

    Args:
        folder: of `exporters.student.student.save_student`.
        classifier: the name of its classifier, as the recipe has it; None to search for it.
        section: of the recipe, for messages about `classifier`.

    Raises:
        UsageError: `classifier` is none.
    """
    from exporters.student.student import load_student
    from pipeline.models.tapped import TappedNetwork

    saved = load_student(folder)
    mean, std, size = saved.preprocessing.mean, saved.preprocessing.std, saved.preprocessing.size
    return TappedNetwork(saved.module, mean, std, size, classifier, section)
