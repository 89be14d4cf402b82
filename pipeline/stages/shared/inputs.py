"""What the stages read of the ones before them, each in one place."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.core.files import read_json, sha256_file
from exporters.images.preprocessing import Preprocessing
from pipeline.class_names.words import class_names_file, class_words
from pipeline.data.index import DataIndex
from pipeline.distill.registry import METHODS
from pipeline.recipe.schema.distill import IMAGE_TOWER_WEIGHTINGS
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import StageContext

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

    from pipeline.data.augmentation import Augmentation
    from pipeline.data.loading import Loader
    from pipeline.models.build import Model
    from pipeline.models.clip import Clip
    from pipeline.models.tapped import TappedNetwork
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.views import Views

EVALUATION_BATCH = 256

TRAINING_LIBRARIES = ("torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow")

IMAGE_KEYS = ("data.image_size", "data.resize", "data.interpolation")


def needs_teacher(recipe: Recipe) -> bool:
    """Whether the visual teacher is used: by the method, or as the yardstick of a gate."""
    return METHODS[recipe.distill.method].needs_teacher or recipe.gates.max_drop_from_teacher is not None


def has_views(recipe: Recipe) -> bool:
    """Whether the teacher sees more than the image itself."""
    return recipe.distill.method == "tmkd" and bool(recipe.distill.views)


def weighs_by_text(recipe: Recipe) -> bool:
    """Whether the weights of the views come from the text teacher."""
    return has_views(recipe) and recipe.distill.weighting.by in (*IMAGE_TOWER_WEIGHTINGS, "text")


def needs_text_embeddings(recipe: Recipe) -> bool:
    """Whether the text teacher is used: by the weights of the views, or by the contrast."""
    contrasts = recipe.distill.method == "tmkd" and recipe.distill.contrast.weight > 0
    return weighs_by_text(recipe) or (contrasts and recipe.teacher.text.anchors is None)


def needs_image_tower(recipe: Recipe) -> bool:
    """Whether CLIP looks at images while the student is trained."""
    return has_views(recipe) and recipe.distill.weighting.by in IMAGE_TOWER_WEIGHTINGS


@dataclass(frozen=True)
class Data:
    """The data of a run, ready to be read.

    Attributes:
        index: what is in which split.
        loader: gives batches.
        preprocessing: of evaluation; its mean and std are the student's only once the student is known.
    """

    index: DataIndex
    loader: "Loader"
    preprocessing: Preprocessing

    def augmentation(self, recipe: Recipe, seed: int) -> "Augmentation":
        """The training augmentation under a seed."""
        from pipeline.data.augmentation import Augmentation

        return Augmentation(recipe.data.augment, self.preprocessing, seed)


def read_data(context: StageContext) -> Data:
    """The index of the stage `data`, with a loader."""
    from pipeline.data.loading import Loader

    settings = context.recipe.data
    index = DataIndex.load(context.run.folder("data"))
    loader = Loader(index, index.root, settings.workers)
    return Data(index, loader, student_preprocessing(context.recipe, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))


def student_preprocessing(
    recipe: Recipe, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Preprocessing:
    """How an image becomes the student's input, under the recipe's sizes."""
    data = recipe.data
    return Preprocessing(data.image_size, data.resize_to, mean, std, data.interpolation)


def teacher_image_size(recipe: Recipe) -> int:
    """Side of the square that the visual teacher sees."""
    return recipe.teacher.visual.image_size or recipe.data.image_size


def teacher_preprocessing(
    recipe: Recipe, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Preprocessing:
    """How an image becomes the visual teacher's input, as far as it can be said apart: the student's crop at its size.

    Within a run, the teacher takes what was cropped for the student, and resizes that (`resize_images`).
    """
    size = teacher_image_size(recipe)
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


def make_views(recipe: Recipe) -> "Views":
    """The views of the recipe under its method: rgb alone where the method has no use of others."""
    from pipeline.tmkd.views import Views

    return Views(recipe.distill.views if recipe.distill.method == "tmkd" else {})


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


def read_text_teacher(context: StageContext) -> TextTeacher | None:
    """The text teacher; None where the recipe has no use of one."""
    import torch
    from safetensors.torch import load_file

    recipe = context.recipe
    if not needs_text_embeddings(recipe):
        return None
    folder = context.run.folder("text")
    saved = load_file(folder / "embeddings.safetensors")
    weighing = saved["random" if recipe.distill.weighting.by == "random_prompts" else "text"]
    clip = None
    if needs_image_tower(recipe):
        from pipeline.models.clip import build_clip, load_clip

        if recipe.teacher.text.weights == "fit":
            clip = build_clip(recipe.teacher.text.model)
            clip.model.load_state_dict(load_file(folder / "clip.safetensors"))
        else:
            clip = load_clip(recipe.teacher.text.model, recipe.teacher.text.weights)
        clip = clip.eval().requires_grad_(False)
    return TextTeacher(saved["text"].to(torch.float32), weighing.to(torch.float32), clip)


def class_names_digest(recipe: Recipe) -> dict[str, str]:
    """The digest of the file of class names, where there is one."""
    source = recipe.teacher.text.class_names
    path = class_names_file(source) if source is not None else None
    return {f"class names {path.name}": sha256_file(path)} if path is not None and path.is_file() else {}


def read_teacher(context: StageContext, fabric: "Fabric") -> "MultiViewTeacher":
    """The multi-view teacher, on the device."""
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.weighers import make_weigher, uniform_weigher

    recipe = context.recipe
    classifier = recipe.teacher.visual.classifier
    visual = read_classifier(context.run.folder("teacher"), classifier, "teacher.visual").to(fabric.device)
    weighting = recipe.distill.weighting
    weigher, tower = uniform_weigher, None
    if has_views(recipe):
        text = read_text_teacher(context) if weighs_by_text(recipe) else None
        clip = text.clip.to(fabric.device) if text is not None and text.clip is not None else None
        weighing = text.weighing.to(fabric.device) if text is not None else None
        weigher = make_weigher(weighting, weighing, None if clip is None else 1 / clip.temperature.item())
        tower = None if clip is None else clip.encode_image
    return MultiViewTeacher(visual, make_views(recipe), weigher, weighting.temperature, tower)


def read_anchors(context: StageContext, data: Data) -> "torch.Tensor | None":
    """The text anchors `[K, D]` of line 11, in the order of the classes; None where there is no contrast."""
    from pipeline.models.embeddings import read_embeddings

    recipe, classes = context.recipe, data.index.classes
    if recipe.distill.method != "tmkd" or recipe.distill.contrast.weight == 0:
        return None
    if recipe.teacher.text.anchors is not None:
        words = class_words(recipe.teacher.text.class_names, classes)
        return read_embeddings(Path(recipe.teacher.text.anchors).expanduser(), classes, words)
    text = read_text_teacher(context)
    return None if text is None else text.embeddings[0]


def read_json_output(context: StageContext, stage: str, name: str) -> dict:
    """A JSON file of an earlier stage."""
    return read_json(context.run.folder(stage) / name)
