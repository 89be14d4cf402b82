"""The tower of a text teacher that is another network: built, and read where a stage has left it."""

from typing import TYPE_CHECKING

from exporters.core.errors import UsageError
from pipeline.recipe.needs import tower_image_size
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.shared.networks import read_classifier

if TYPE_CHECKING:
    from pipeline.models.build import Model
    from pipeline.models.clip_tower import TowerClip
    from pipeline.models.tapped import TappedNetwork

SECTION = "teacher.text.tower"
FOLDER = "tower"
"""Of the tower below the folder of the stage `text`, where it is not the visual teacher."""


def build_text_tower(recipe: Recipe, classes: int) -> "Model":
    """The tower with its weights, on the CPU; its classifier is of no use, and random where it does not fit.

    Args:
        recipe: with a tower that is not the visual teacher.
        classes: of the data set.

    Raises:
        UsageError: no such architecture, it cannot take images of this size, or has no pooled features.
        UnavailableError: the weights are not to be had or do not fit.
    """
    from pipeline.models.build import build_model

    tower = recipe.teacher.text.tower
    assert tower is not None
    model = build_model(
        tower.model,
        tower.arguments,
        tower.weights,
        classes,
        tower_image_size(recipe),
        seed=recipe.data.split_seed,
        purpose=SECTION,
        replace_head=True,
        mean=tower.mean,
        std=tower.std,
        sha256=tower.sha256,
        weights_key=tower.weights_key,
        classifier=tower.classifier,
    )
    require_features(model.tapped)
    return model


def require_features(tower: "TappedNetwork") -> None:
    """Refuse a network whose pooled features are not known.

    Raises:
        UsageError: its logits do not come from a linear layer.
    """
    if not tower.shape.has_classifier:
        raise UsageError(
            f"{SECTION}: a tower gives pooled features, and this network has none: they are what goes into a linear"
            " classifier",
            remedy=f"Take another network, or name its classifier ({SECTION}.classifier).",
        )


def read_text_tower(recipe: Recipe, run: RunDirectory) -> "TappedNetwork":
    """The tower as the stage `text` has used it, on the CPU."""
    tower = recipe.teacher.text.tower
    assert tower is not None
    if tower.is_teacher:
        return read_classifier(run.folder("teacher"), recipe.teacher.visual.classifier, "teacher.visual")
    return read_classifier(run.folder("text") / FOLDER, tower.classifier, SECTION)


def read_tower_clip(recipe: Recipe, run: RunDirectory) -> "TowerClip":
    """The fitted text teacher, on the CPU; without a text tower where its anchors came from a file."""
    from exporters.student.finite import read_safetensors
    from pipeline.models.clip_tower import TowerClip, build_projected_clip

    text, tower = recipe.teacher.text, read_text_tower(recipe, run)
    state = read_safetensors(run.folder("text") / "clip.safetensors")
    width, channels = state["visual.projection.weight"].shape
    clip = build_projected_clip(text.model if text.has_text_tower else None, channels, width=width)
    clip.model.load_state_dict(state)
    return TowerClip(clip, tower)
