"""The runtimes of a run's frozen teachers: what they are decided by, and where that is kept."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.distill.registry import needs_stages
from pipeline.recipe.needs import needs_image_tower
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import code_digest, digest, libraries_digest
from pipeline.runner.stage import StageContext, settings
from pipeline.stages.shared.networks import image_geometry

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

    from pipeline.models.clip import Clip
    from pipeline.models.deployment.choice import Place
    from pipeline.models.deployment.deployed import DeployedClassifier, DeployedTower
    from pipeline.models.tapped import TappedNetwork
    from pipeline.recipe.schema.teacher import TextTeacherSettings, VisualTeacherSettings

_LIBRARIES = (
    "torch", "torchvision", "timm", "open_clip_torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu",
    "openvino",
)  # fmt: skip
_IMAGES = 8
"""Training images on which a runtime must reproduce the network: few, because eager PyTorch looks at them too."""
_IMAGE_KEYS = ("data.image_size", "data.resize", "data.interpolation")


def deploy_visual(context: StageContext, fabric: "Fabric", tapped: "TappedNetwork") -> "DeployedClassifier":
    """The visual teacher, which is on the CPU, in its runtime on the device; a decision that was made just now is told
    in one line. Among several processes it is sharded where the recipe says so.

    Raises:
        UnavailableError, GateError: as `pipeline.models.deployment.choice.choose`.
    """
    from pipeline.models.deployment.deployed import DeployedClassifier

    shards = is_sharded(context.recipe.teacher.visual)
    place = _place(context, fabric, _visual_key(context, fabric, stages=tapped.tap_stages), on_cpu=shards)
    is_new = not place.record.is_file()
    shard_on = fabric.device if shards else None
    deployed = DeployedClassifier(tapped.to(place.device), context.recipe.teacher.runtime, place, shard_on)
    _report(context, deployed, is_new, "teacher.visual", context.recipe.teacher.visual.shard)
    return deployed


def deploy_tower(context: StageContext, fabric: "Fabric", clip: "Clip") -> "DeployedTower":
    """The image tower of a CLIP that is on the CPU, in its runtime on the device; a decision that was made just now is
    told in one line. Among several processes it is sharded where the recipe says so.

    Raises:
        UnavailableError, GateError: as `pipeline.models.deployment.choice.choose`.
    """
    from pipeline.models.clip import image_part
    from pipeline.models.deployment.deployed import DeployedTower

    text, shards = settings(context.recipe, "teacher.text"), is_sharded(context.recipe.teacher.text)
    place = _place(context, fabric, _key(context, fabric, ("text", "teacher"), text), on_cpu=shards)
    is_new = not place.record.is_file()
    shard_on = fabric.device if shards else None
    tower = image_part(clip).to(place.device)
    deployed = DeployedTower(tower, context.recipe.teacher.runtime, place, shard_on)
    _report(context, deployed, is_new, "teacher.text", context.recipe.teacher.text.shard)
    return deployed


def _report(
    context: StageContext, deployed: "DeployedClassifier | DeployedTower", is_new: bool, section: str, shard: bool
) -> None:
    """Report a new decision, and how a network is sharded."""
    if is_new:
        context.console.say(deployed.decision.describe())
    if deployed.sharded is not None:
        context.console.say(deployed.sharded.describe())
    elif shard and is_new:
        context.console.say(f"{deployed.decision.network}: {section}.shard has no effect in one process")


def visual_identity(context: StageContext, fabric: "Fabric") -> str | None:
    """What the last bits of the visual teacher's outputs follow from beside the network; None before it was read."""
    from pipeline.models.deployment.choice import kept_decision

    distill = context.recipe.distill
    stages = needs_stages(distill.method, distill.base)
    kept = kept_decision(_folder(context) / f"{_visual_key(context, fabric, stages=stages)}.json")
    sharded = ", sharded" if is_sharded(context.recipe.teacher.visual) else ""
    return None if kept is None else kept.identity + sharded


def run_by(recipe: Recipe) -> tuple[str, ...]:
    """The settings of how frozen teachers are run, which the last bits of what they give follow from."""
    clip = ("teacher.text.shard",) if needs_image_tower(recipe) else ()
    return ("teacher.runtime", "teacher.visual.shard", *clip)


def is_sharded(teacher: "VisualTeacherSettings | TextTeacherSettings") -> bool:
    """Whether a frozen teacher is sharded: the recipe says so, and several processes do this work together."""
    from pipeline.distributed.collectives import process_count

    return teacher.shard and process_count() > 1


def _visual_key(context: StageContext, fabric: "Fabric", *, stages: bool) -> str:
    classifier = settings(context.recipe, "teacher.visual.classifier", "teacher.visual.shard")
    return _key(context, fabric, ("teacher",), {**classifier, "stages": stages})


def _key(context: StageContext, fabric: "Fabric", stages: tuple[str, ...], of_network: dict[str, object]) -> str:
    from pipeline.training.device import computed_precision

    records = {stage: context.run.record(stage) for stage in ("data", *stages)}
    parts = {
        "code": code_digest(["pipeline.models.deployment.deployed", "exporters.onnx.features"]),
        "libraries": libraries_digest(_LIBRARIES),
        "settings": {**settings(context.recipe, "teacher.runtime", *_IMAGE_KEYS), **of_network},
        "device": fabric.device.type,
        "precision": computed_precision(fabric),
        "outputs": {stage: record.outputs for stage, record in records.items() if record is not None},
    }
    return digest(parts)[:16]


def _folder(context: StageContext) -> Path:
    return context.run.cache / "runtime"


def _place(context: StageContext, fabric: "Fabric", key: str, *, on_cpu: bool = False) -> "Place":
    import torch

    from pipeline.data.index import DataIndex
    from pipeline.data.loading import Loader
    from pipeline.models.deployment.choice import Place
    from pipeline.training.device import computed_precision

    device = torch.device("cpu") if on_cpu else fabric.device
    index = DataIndex.load(context.run.folder("data"))

    def images() -> "Tensor":
        loader = Loader(index, index.root, 0)
        batch = next(loader.evaluation_batches("train", image_geometry(context.recipe), _IMAGES, _IMAGES))
        return batch.images.to(device).float() / 255

    mixed = not computed_precision(fabric).startswith("32-true")
    return Place(_folder(context), key, device, mixed, images, len(index.splits["train"]), exports=not on_cpu)
