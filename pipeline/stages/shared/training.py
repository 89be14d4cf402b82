"""Running a stage's training with the stage's checkpoint and metrics."""

from functools import partial
from pathlib import Path

from lightning_fabric import Fabric

from pipeline.runner.stage import StageContext
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.loop import Fitted, fit
from pipeline.training.presets import describe_preset, describe_scaling
from pipeline.training.running_statistics import describe_momenta
from pipeline.training.settings import NetworkFitSettings
from pipeline.training.step import Training


def train(context: StageContext, label: str, training: Training, fabric: Fabric, folder: Path | None = None) -> Fitted:
    """Run a stage's training, from where an earlier attempt of the same fingerprint stopped.

    Each epoch's metrics go to `metrics.jsonl`. The checkpoint stays until `discard_checkpoint`, which is for when the
    results are written.

    Args:
        context: of the stage.
        label: name of the training in `metrics.jsonl`: the stage's name where it trains once.
        training: what is trained and how.
        fabric: device and precision.
        folder: where the checkpoint is kept; None: the folder of the stage of that name.
    """
    if isinstance(training.settings, NetworkFitSettings) and (preset := describe_preset(training.settings)):
        context.console.say(f"{training.name}: {preset}")
    if isinstance(training.settings, NetworkFitSettings) and (scaled := describe_scaling(training.settings)):
        context.console.say(f"{training.name}: {scaled}")
    if momenta := describe_momenta(training):
        context.console.say(f"{training.name}: {momenta}")
    checkpoint = _checkpoint(context, label, folder)
    if not context.leads:
        return fit(training, fabric, checkpoint, context.console)
    return fit(training, fabric, checkpoint, context.console, partial(context.run.log_metrics, label))


def discard_checkpoint(context: StageContext, label: str, folder: Path | None = None) -> None:
    """Remove what `train` keeps for another attempt."""
    _checkpoint(context, label, folder).remove()


def _checkpoint(context: StageContext, label: str, folder: Path | None) -> Checkpoint:
    saving = context.recipe.train.checkpoint
    path = (folder or context.run.folder(label)) / "checkpoint.pt"
    return Checkpoint(path, context.fingerprint, saving.keep, saving.every_seconds)
