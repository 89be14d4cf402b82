"""What the stages read of the ones before them, each in one place."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.core.errors import UnavailableError
from exporters.core.files import read_json, sha256_file
from exporters.images.preprocessing import Geometry
from pipeline.class_names.words import class_names_file, class_words
from pipeline.data.index import DataIndex
from pipeline.models.weight_files import checked_sha256
from pipeline.recipe.needs import has_views, needs_image_tower, needs_text_embeddings, weighs_by_text
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.networks import image_geometry, read_classifier

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric

    from pipeline.data.augmentation import Augmentation
    from pipeline.data.loading import Loader
    from pipeline.models.clip import Clip
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.views.views import Views

TRAINING_LIBRARIES = ("torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow")

IMAGE_KEYS = ("data.image_size", "data.resize", "data.interpolation")


@dataclass(frozen=True)
class Data:
    """The data of a run, ready to be read.

    Attributes:
        index: what is in which split.
        loader: gives batches.
        geometry: resize and crop, of evaluation and of the student that will ship.
    """

    index: DataIndex
    loader: "Loader"
    geometry: Geometry

    def augmentation(self, recipe: Recipe, seed: int) -> "Augmentation":
        """The training augmentation under a seed."""
        from pipeline.data.augmentation import Augmentation

        return Augmentation(recipe.data.augment, self.geometry, seed)


def read_data(context: StageContext) -> Data:
    """The index of the stage `data`, with a loader."""
    from pipeline.data.loading import Loader

    settings = context.recipe.data
    index = DataIndex.load(context.run.folder("data"))
    loader = Loader(index, index.root, settings.workers)
    return Data(index, loader, image_geometry(context.recipe))


def make_views(recipe: Recipe) -> "Views":
    """The views of the recipe under its method: rgb alone where the method has no use of others."""
    from pipeline.tmkd.views.views import Views

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


def weights_file(weights: str, sha256: str | None = None, section: str = "") -> dict[str, str]:
    """The digest of a weights file by name; empty where `weights` names no file that is there.

    It is part of a stage's fingerprint, so that a stage is not reused either where the recipe means another file.

    Args:
        weights: what a recipe says.
        sha256: what the file must be; None: anything.
        section: of the recipe, for the message.

    Raises:
        UnavailableError: the file is another one.
    """
    path = Path(weights).expanduser()
    try:
        return {path.name: checked_sha256(path, sha256)} if path.is_file() else {}
    except UnavailableError as error:
        error.message = f"{section}: {error.message}"
        raise


def read_teacher(context: StageContext, fabric: "Fabric") -> "MultiViewTeacher":
    """The multi-view teacher, on the device."""
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.weighting import make_view_weighting, uniform_weighting

    recipe = context.recipe
    classifier = recipe.teacher.visual.classifier
    visual = read_classifier(context.run.folder("teacher"), classifier, "teacher.visual").to(fabric.device)
    weighting = recipe.distill.weighting
    view_weighting, tower = uniform_weighting, None
    if has_views(recipe):
        text = read_text_teacher(context) if weighs_by_text(recipe) else None
        clip = text.clip.to(fabric.device) if text is not None and text.clip is not None else None
        weighing = text.weighing.to(fabric.device) if text is not None else None
        view_weighting = make_view_weighting(weighting, weighing, None if clip is None else 1 / clip.temperature.item())
        tower = None if clip is None else clip.encode_image
    return MultiViewTeacher(visual, make_views(recipe), view_weighting, weighting.temperature, tower)


def read_anchors(context: StageContext, data: Data) -> "torch.Tensor | None":
    """The text anchors `[K, D]` of the contrast, in the order of the classes; None where there is no contrast."""
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
