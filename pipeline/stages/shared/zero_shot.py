"""What a text teacher is worth by prompts alone, measured and told."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pipeline.runner.stage import StageContext
from pipeline.stages.shared.inputs import Data
from pipeline.stages.shared.teacher_runtime import is_sharded
from pipeline.stages.shared.teachers import make_views

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

    from pipeline.data.loading import Batch
    from pipeline.models.clip import Clip


def measure_zero_shot(
    context: StageContext, data: Data, clip: "Clip", embeddings: "Tensor", fabric: "Fabric"
) -> dict[str, float]:
    """Accuracy by prompts alone on validation, per view; said, with what to do where it is no better than chance."""
    from exporters.parity.chance import are_too_few, chance_level, describe, is_above_chance
    from pipeline.distributed.collectives import this_part
    from pipeline.evaluation.zero_shot import zero_shot_accuracy
    from pipeline.models.deployment.frozen import FrozenTower
    from pipeline.models.deployment.sharding import ShardedNetwork, in_step

    text, views = context.recipe.teacher.text, make_views(context.recipe)
    batches: Iterable[Batch] = data.loader.evaluation_batches("validation", data.geometry, part=this_part())
    look: Callable[[Tensor], Tensor] = clip.encode_image
    if is_sharded(text) and text.weights != "fit":
        sharded = ShardedNetwork(FrozenTower(clip), fabric.device)
        look, batches = (lambda images: sharded(images)[0]), in_step([sharded], batches)
    zero_shot = zero_shot_accuracy(look, embeddings.to(fabric.device), views, batches, fabric.device)
    by_view = ", ".join(f"{view} {100 * accuracy:.2f} %" for view, accuracy in zero_shot.items())
    tower = "" if text.tower is None else f" with the tower {text.tower.model}"
    context.console.say(f"text teacher {text.model}{tower}: validation top-1 from prompts alone: {by_view}")
    labels = data.index.splits["validation"].labels
    chance, count = chance_level(labels), len(labels)
    silent = [view for view, top1 in zero_shot.items() if not is_above_chance(round(top1 * count), count, chance)]
    if silent:
        where = "" if len(silent) == len(zero_shot) else f" in the view {', '.join(silent)}"
        top1 = max(zero_shot[view] for view in silent)
        best = describe(top1, count, chance, "validation")
        remedy = "real CLIP weights (teacher.text.weights: laion2b_s34b_b79k for ViT-B-32)"
        if text.weights == "fit" and text.tower is None:
            remedy += " or a trained network as its tower (teacher.text.tower: teacher)"
        context.console.warn(
            f"so few images cannot show whether the text teacher says anything about them{where}: {best}."
            f" What helps are more of them (data.validation), or {remedy}"
            if are_too_few(round(top1 * count), count, chance)
            else f"the text teacher says nothing about the images{where}, being at chance level: {best}."
            f" What helps is {remedy}"
        )
    return zero_shot
