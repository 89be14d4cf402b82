"""kd against torchdistill's (`torchdistill.core.distillation.DistillationBox` with its `KDLoss`)."""

import logging
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.training import ours
from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.plain_loop import normalised
from benchmarks.training.subjects import LR, MOMENTUM, WEIGHT_DECAY, Subjects


def measure(subjects: Subjects, rounds: int) -> list[Claim]:
    """Our kd over torchdistill's: at most .75."""
    contenders = {"kd": ours.steps(subjects, "kd"), "torchdistill": steps(subjects)}
    costs = interleaved(contenders, rounds)
    return [Claim("torchdistill", "kd", "torchdistill", costs, subjects.pair.pixels, 0.75, subjects.facts)]


def steps(subjects: Subjects) -> Callable[[], None]:
    """A piece of work: all batches through the box, as its example scripts call it."""
    from torchdistill.core.distillation import get_distillation_box

    logging.getLogger("torchdistill").setLevel(logging.WARNING)
    box = get_distillation_box(
        subjects.teacher().network,
        subjects.student().network,
        dataset_dict={},
        train_config=_config(),
        device=torch.device("cpu"),
        device_ids=None,
        distributed=False,
        lr_factor=1,
    )

    def work() -> None:
        box.pre_epoch_process(epoch=0)
        for images, labels in zip(subjects.images, subjects.labels, strict=True):
            box.pre_forward_process()
            loss = box.forward_process(normalised(images), labels, None)
            box.post_forward_process(loss=loss)

    return work


def _config() -> dict[str, Any]:
    """A configuration like those in its repository: both networks' outputs, KD with T = 4 and α = .1, SGD."""
    network = {"sequential": [], "forward_proc": "forward_batch_only"}
    kd = {
        "key": "KDLoss",
        "kwargs": {
            "student_module_path": ".",
            "student_module_io": "output",
            "teacher_module_path": ".",
            "teacher_module_io": "output",
            "temperature": 4.0,
            "alpha": 0.1,
            "reduction": "batchmean",
        },
    }
    sgd = {"lr": LR, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY}
    return {
        "num_epochs": 1,
        "teacher": {**network, "requires_grad": False},
        "student": {**network, "requires_grad": True},
        "optimizer": {"key": "SGD", "kwargs": sgd},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": {"criterion": kd, "weight": 1.0}}}},
    }
