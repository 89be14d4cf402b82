"""The recipes of the students that a distilled one is compared with: plain training, and its base without TMKD.

Each is the run's own recipe with a few settings changed, so that its student has the same network, seed, images and
augmentation.
"""

from typing import Any, TypeVar

from pipeline.distill.loss_settings import CeSettings
from pipeline.distill.registry import METHODS
from pipeline.distill.settings import AUTO
from pipeline.recipe.schema.recipe import Recipe
from pipeline.training.settings import FitSettings, NetworkFitSettings

Schedule = TypeVar("Schedule", bound=FitSettings)

SHORT_SHARE = 10
"""A short baseline has one epoch for so many of the student's."""


def trains_baseline(recipe: Recipe) -> bool:
    """Whether the run trains a plain student beside the distilled one; `auto` does in any case."""
    if recipe.distill.method == AUTO:
        return True
    return recipe.distill.method != "ce" and recipe.student.baseline in ("auto", "full")


def baseline_epochs(recipe: Recipe) -> int:
    """Epochs of the plain student: all of the schedule, or under `student.baseline: auto` about a tenth of it.

    Where something follows from the comparison (`distill.on_no_gain` other than `warn`), `auto` means all: only
    students of the same budget can be compared. So it is with `distill.method: auto`.
    """
    epochs = recipe.train.epochs
    whole = recipe.distill.method == AUTO or recipe.student.baseline == "full" or recipe.distill.on_no_gain != "warn"
    return epochs if whole else max(1, round(epochs / SHORT_SHARE))


def plain_recipe(recipe: Recipe) -> Recipe:
    """The same student from labels alone, for `baseline_epochs`: cross-entropy of weight 1 and no teacher.

    For the whole schedule this is the recipe with `distill.method: ce` and no `distill.ce.weight`.
    """
    distill = recipe.distill.model_copy(update={"method": "ce", "ce": CeSettings(), "on_no_gain": "warn"})
    train = shortened(recipe.train, baseline_epochs(recipe))
    return recipe.model_copy(update={"distill": distill, "train": train})


def trains_reference(recipe: Recipe) -> bool:
    """Whether the run trains the base of its TMKD as well."""
    return recipe.distill.method == "tmkd" and recipe.distill.reference == "base"


def base_recipe(recipe: Recipe) -> Recipe:
    """The same losses on rgb alone: no further views and no contrast, what TMKD adds being left out."""
    contrast = recipe.distill.contrast.model_copy(update={"weight": 0.0})
    return recipe.model_copy(
        update={"distill": recipe.distill.model_copy(update={"views": {}, "contrast": contrast, "on_no_gain": "warn"})}
    )


def base_name(recipe: Recipe) -> str:
    """What the base is called: its name, and the losses that TMKD adds to it, such as `cat_kd+kd`."""
    losses, own = recipe.distill.losses, METHODS[recipe.distill.base].losses
    added = [("kd", "logits", losses.logits.weight), ("cam", "feature", losses.feature.weight)]
    return "+".join([recipe.distill.base, *(short for short, line, weight in added if line not in own and weight)])


def falls_back(recipe: Recipe) -> bool:
    """Whether the plain student ships where the distilled one is worse on validation; `auto` implies it."""
    if recipe.distill.method == AUTO:
        return recipe.distill.on_no_gain != "fail"
    return recipe.distill.method != "ce" and recipe.distill.on_no_gain == "fall_back"


def shortened(settings: Schedule, epochs: int) -> Schedule:
    """A schedule of its own that ends after fewer epochs: warm-up, head epochs and milestones at the same shares.

    Milestones that would fall together are one, and those that would fall at the beginning or the end are left out.
    There is no early stop. All the epochs give the settings as they are.

    Args:
        settings: the whole schedule.
        epochs: 1 or more, at most those of `settings`.
    """
    if epochs == settings.epochs:
        return settings
    share, schedule = epochs / settings.epochs, settings.schedule
    changed: dict[str, Any] = {"epochs": epochs}
    if settings.early_stop is not None:
        changed["early_stop"] = None
    if isinstance(settings, NetworkFitSettings) and settings.head_epochs:
        changed["head_epochs"] = min(round(settings.head_epochs * share), epochs - 1)
    if schedule.milestones or schedule.warmup:
        scaled = {round(milestone * share) for milestone in schedule.milestones}
        milestones = tuple(sorted(milestone for milestone in scaled if 0 < milestone < epochs))
        kind = "constant" if schedule.kind == "milestones" and not milestones else schedule.kind
        own = {"kind": kind, "milestones": milestones, "warmup": schedule.warmup * share}
        changed["schedule"] = schedule.model_copy(update=own)
    return settings.model_copy(update=changed)
