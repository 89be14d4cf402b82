"""Running a stage's training with the stage's checkpoint and metrics."""

from functools import partial

from lightning_fabric import Fabric

from pipeline.runner.stage import StageContext
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.loop import Fitted, fit
from pipeline.training.step import Training


def train(context: StageContext, stage: str, training: Training, fabric: Fabric) -> Fitted:
    """Run a stage's training, from where an earlier attempt of the same fingerprint stopped.

    Each epoch's metrics go to `metrics.jsonl`. The checkpoint stays until `discard_checkpoint`, which is for when the
    results are written.
    """
    log_metrics = partial(context.run.log_metrics, stage)
    return fit(training, fabric, _checkpoint(context, stage), context.console, log_metrics)


def discard_checkpoint(context: StageContext, stage: str) -> None:
    """Remove what `train` keeps for another attempt."""
    _checkpoint(context, stage).remove()


def _checkpoint(context: StageContext, stage: str) -> Checkpoint:
    return Checkpoint(context.run.folder(stage) / "checkpoint.pt", context.fingerprint)
