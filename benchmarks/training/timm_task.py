"""kd against timm's distillation task (`timm.task.LogitDistillationTask`)."""

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmarks.training import ours
from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.plain_loop import make_sgd, normalised
from benchmarks.training.subjects import Subjects
from pipeline.models.weights import IMAGENET_MEAN, IMAGENET_STD


def measure(subjects: Subjects, rounds: int) -> list[Claim]:
    """Our kd over timm's: at most .75."""
    contenders = {"kd": ours.steps(subjects, "kd"), "timm": steps(subjects)}
    costs = interleaved(contenders, rounds)
    return [Claim("timm_task", "kd", "timm", costs, subjects.pair.pixels, 0.75, subjects.facts)]


def steps(subjects: Subjects) -> Callable[[], None]:
    """A piece of work: all batches through the task, as in the example of its documentation."""
    from timm.task import LogitDistillationTask

    student, teacher = subjects.student().network, subjects.teacher().network
    for network in (student, teacher):
        _as_of_timm(network, subjects.pair.classes)
    task = LogitDistillationTask(
        student, teacher, criterion=nn.CrossEntropyLoss(), task_loss_weight=0.1, temperature=4.0, verbose=False
    ).train()
    optimizer = make_sgd(student)

    def work() -> None:
        for images, labels in zip(subjects.images, subjects.labels, strict=True):
            result = task(normalised(images), labels)
            optimizer.zero_grad()
            result["loss"].backward()
            optimizer.step()

    return work


def _as_of_timm(network: Any, classes: int) -> None:
    """What the task reads of a network of timm."""
    network.num_classes, network.in_chans = classes, 3
    network.pretrained_cfg = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
