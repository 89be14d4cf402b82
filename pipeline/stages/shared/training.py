"""Jobs for the training loop out of a stage's data, and running them with the stage's checkpoint."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from lightning_fabric import Fabric
from torch import Tensor, nn

from pipeline.data.augmentation import Augmentation
from pipeline.distill.memory import Samples
from pipeline.distill.task import DistillationTask, warmup_ramp
from pipeline.evaluation.metrics import predict, top_k_correct
from pipeline.models.outputs import NetworkOutput
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.inputs import EVALUATION_BATCH, Data
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.loop import Fitted, Job, Step, fit

if TYPE_CHECKING:
    from pipeline.training.settings import FitSettings

Teacher = Callable[[Step], NetworkOutput]


def student_job(
    name: str,
    task: DistillationTask,
    data: Data,
    settings: "FitSettings",
    augmentation: Augmentation,
    fabric: Fabric,
    *,
    seed: int,
    teacher: Teacher | None = None,
    warmup: int = 0,
    show: Callable[[Step], Tensor] | None = None,
) -> Job:
    """Train a classifier under a method; its validation accuracy on plain images chooses the pass.

    Args:
        name: for progress lines.
        task: the classifier with its method.
        data: index and loader.
        settings: the schedule.
        augmentation: of training images.
        fabric: device and precision; the teacher runs in the same precision.
        seed: of the order and of what must stay a state.
        teacher: a step to the teacher's output on it; None for a method without.
        warmup: passes over which β and γ rise.
        show: a step to the images `[B, 3, S, S]` that the classifier is trained on; None: as they are.
    """

    def losses(wrapped: nn.Module, step: Step) -> dict[str, Tensor]:
        guidance = None
        if teacher is not None:
            with fabric.autocast():
                guidance = teacher(step)
        samples = Samples(step.indices, step.pass_)
        images = step.images if show is None else show(step)
        return wrapped(images, step.labels, guidance, warmup_ramp(step.passes, warmup), samples)

    def evaluate() -> float:
        task.eval()
        batches = data.loader.evaluation_batches("validation", data.preprocessing, EVALUATION_BATCH)
        logits, labels = predict(lambda images: task.student(images).logits, batches, fabric.device)
        return float(top_k_correct(logits, labels, 1).mean())

    return make_job(name, task, losses, evaluate, data, settings, augmentation, seed)


def make_job(
    name: str,
    module: nn.Module,
    losses: Callable[[nn.Module, Step], dict[str, Tensor]],
    evaluate: Callable[[], float],
    data: Data,
    settings: "FitSettings",
    augmentation: Augmentation,
    seed: int,
) -> Job:
    """A job over the training split; the last batch of a pass is left out unless it is full or the only one."""
    images = len(data.index.splits["train"])
    return Job(
        name=name,
        module=module,
        losses=losses,
        evaluate=evaluate,
        batches=lambda pass_: data.loader.training_batches(
            augmentation, settings.batch_size, seed, pass_, drop_last=True
        ),
        steps_per_pass=max(1, images // settings.batch_size),
        settings=settings,
        seed=seed,
    )


def train(context: StageContext, stage: str, job: Job, fabric: Fabric) -> Fitted:
    """Run a stage's job, from where an earlier attempt of the same fingerprint stopped; passes go to `metrics.jsonl`.

    The checkpoint stays until `discard_checkpoint`, which is for when the results are written.
    """
    checkpoint = _checkpoint(context, stage)
    return fit(
        job,
        fabric,
        checkpoint,
        context.console,
        lambda pass_, metrics: context.run.log_metrics(stage, pass_, metrics),
    )


def discard_checkpoint(context: StageContext, stage: str) -> None:
    """Remove what `train` keeps for another attempt."""
    _checkpoint(context, stage).remove()


def _checkpoint(context: StageContext, stage: str) -> Checkpoint:
    return Checkpoint(context.run.folder(stage) / "checkpoint.pt", context.fingerprint)
