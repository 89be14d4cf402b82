"""Work that one process does alone or two do together, with everything that must come out alike."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporters.core.growing import GrowingArray
from pipeline.data.loading import Batch
from pipeline.distill.build import build_method
from pipeline.distill.memory import TrainingSplit
from pipeline.distill.methods.base import Method
from pipeline.distill.settings import DistillSettings
from pipeline.distributed.collectives import (
    averaged,
    from_leader,
    gathered,
    interleaved,
    interleaved_rows,
    leader_first,
    of_all,
    process_count,
    process_number,
    sharing,
    this_part,
)
from pipeline.distributed.parts import own_batches
from pipeline.models.outputs import NetworkOutput
from pipeline.randomness import Samples
from pipeline.training import saving
from pipeline.training.checkpoint import Checkpoint
from tests.pipeline.distill.networks import labels_of, network_output, shape_of
from tests.pipeline.training.toy import CLASSES, Call, Net, Task, batches_of, cross_entropy, make_training, run

IMAGES, NUMBER_OF_CLASSES = 8, 4

METHODS: dict[str, dict[str, Any]] = {
    **{
        name: {"method": name}
        for name in ("ce", "kd", "dkd", "logit_std", "dist", "mlld", "cat_kd", "crd", "rkd", "sp", "at", "fitnet")
    },
    "reviewkd": {"method": "reviewkd"},
    "crd with a memory": {"method": "crd", "feature": {"bank": 5}},
    "tmkd": {"method": "tmkd", "base": "cat_kd", "contrast": {"weight": 0.4}},
    "kd, fixed weights": {"method": "kd", "balance": "none"},
    "rkd, fixed weights": {"method": "rkd", "balance": "none"},
}


def _own(output: NetworkOutput) -> NetworkOutput:
    """This process's images of an output, computed from its part of the last map."""
    *stages, maps = (values.chunk(process_count())[process_number()] for values in output.stage_maps)
    pooled = maps.mean(dim=(2, 3))
    weight, bias = output.classifier_weight, output.classifier_bias
    assert weight is not None
    return NetworkOutput(pooled @ weight.T + bias, pooled, maps, weight, bias, (*stages, maps))


def train_method(settings: dict[str, Any], mixed: bool = False) -> dict[str, Tensor]:
    """Losses, gradients (of leaves of the student's output and of what the method learns) and state after two steps."""
    torch.manual_seed(3)
    labels = labels_of(0, 3 * IMAGES, NUMBER_OF_CLASSES)
    first = network_output(0, IMAGES, NUMBER_OF_CLASSES, 6)
    method: Method = build_method(
        DistillSettings.model_validate(settings),
        shape_of(first),
        shape_of(network_output(1, IMAGES, NUMBER_OF_CLASSES, 8)),
        torch.randn(NUMBER_OF_CLASSES, 5),
        training=TrainingSplit(labels.numpy(), 0),
        class_weights=(1.0, 2.0, 0.5, 3.0),
    )
    found: dict[str, Tensor] = {}
    for step in range(2):
        student = network_output(10 + step, IMAGES, NUMBER_OF_CLASSES, 6, learns=True)
        teacher = network_output(20 + step, IMAGES, NUMBER_OF_CLASSES, 8)
        indices = (torch.arange(IMAGES) * 3 + step).chunk(process_count())[process_number()]
        partners = labels[indices].roll(1) if mixed else None
        shares = torch.linspace(0.5, 1, IMAGES).chunk(process_count())[process_number()] if mixed else None
        if mixed:
            whole = labels[torch.arange(IMAGES) * 3 + step].roll(1)
            partners = whole.chunk(process_count())[process_number()]
        losses = method(_own(student), _own(teacher), labels[indices], 0.7, Samples(indices, 0, partners, shares))
        torch.stack(list(losses.values())).sum().backward()
        leaves = {"map": student.feature_map, "weight": student.classifier_weight, "bias": student.classifier_bias}
        leaves |= {f"stage {number}": stage for number, stage in enumerate(student.stage_maps[:-1])}
        leaves |= dict(method.named_parameters())
        for name, leaf in leaves.items():
            if leaf is not None and leaf.grad is not None:
                found[f"step {step}: gradient of {name}"] = averaged(leaf.grad)
        found |= {f"step {step}: {name}": averaged(loss.detach()) for name, loss in losses.items()}
        method.zero_grad()
    return found | {f"state {name}": value for name, value in method.named_buffers()}


class PlainNet(Task):
    """Without batch norm and drop-out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.GroupNorm(2, 6), nn.ReLU())
        self.head = nn.Linear(6, CLASSES)
        self.unused = nn.Linear(2, 2)

    def layers(self) -> list[list[nn.Parameter]]:
        return [list(self.body.parameters())]

    def logits(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


def train_net(**settings: Any) -> dict[str, Any]:
    """The end of a training of four epochs of a net without batch statistics."""
    with tempfile.TemporaryDirectory() as folder:
        fitted = run(make_training(PlainNet(), settings=settings, scores=[0.5, 0.7, 0.6, 0.7]), Path(folder))
        written = sorted(path.name for path in Path(folder).iterdir())
    history = [{key: value for key, value in row.items() if key != "time"} for row in fitted.history]
    return {"final": fitted.final_state, "history": history, "chosen": fitted.chosen_epoch, "written": written}


BROKEN = ((0, 1), (1, 0), (2, 2))
"""Epochs and steps of `train_broken_net` in which one image of the last process has a loss that is not finite."""


def train_broken_net(**settings: Any) -> dict[str, Any]:
    """The same as `train_net`, which leaves out the batches of `BROKEN`."""
    broken = {(epoch, int(list(batches_of(epoch))[step].indices[-1])) for epoch, step in BROKEN}

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        found = cross_entropy(task, call)["ce"]
        spoils = not broken.isdisjoint((call.samples.epoch, index) for index in call.samples.indices.tolist())
        return {"ce": found * (torch.nan if spoils else 1.0)}

    with tempfile.TemporaryDirectory() as folder:
        training = make_training(PlainNet(), losses=losses, settings={"on_nan": "skip_batch"} | settings)
        fitted = run(training, Path(folder))
    return {"final": fitted.final_state, "skipped": [row["skipped"] for row in fitted.history[:3]]}


def train_net_with_batch_norm(**settings: Any) -> dict[str, Any]:
    """The same of a net with batch norms, which see all images of a batch."""
    settings |= {"sync_batch_norm": True}
    with tempfile.TemporaryDirectory() as folder:
        fitted = run(make_training(drop=0.0, settings=settings), Path(folder))
    return {"final": fitted.final_state}


def train_net_with_drop_out() -> dict[str, Any]:
    """The same of a net with batch norm and drop-out."""
    with tempfile.TemporaryDirectory() as folder:
        fitted = run(make_training(settings={"ema": 0.9}), Path(folder))
    return {"final": fitted.final_state}


class Stopped(Exception):
    """The end of an attempt."""


def train_net_in_two_attempts() -> dict[str, Any]:
    """The same as `train_net_with_drop_out`, broken off after two steps of an epoch, and resumed."""

    def break_off(epoch: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches_of(epoch)):
            if (epoch, number) == (2, 2):
                raise Stopped
            yield batch

    folder = Path(from_leader(tempfile.mkdtemp()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "_EXCHANGE_STEPS", 1)
        with pytest.raises(Stopped):
            run(make_training(settings={"ema": 0.9}, batches=break_off), folder, every_seconds=0)
    of_all(None)  # the first process has written
    saved = Checkpoint(folder / "checkpoint.pt", "one").load()
    assert saved is not None
    torch.manual_seed(99)
    fitted = run(make_training(Net(33, 0.5), settings={"ema": 0.9}), folder)
    return {"final": fitted.final_state, "resumed at": (len(saved["history"]), saved["step"])}


def _in_turn() -> list[int]:
    """How many of the other processes had been in a block before this one."""
    with leader_first():
        before = len(list(Path(os.environ["TURNS"]).iterdir()))
        (Path(os.environ["TURNS"]) / str(process_number())).touch()
    return of_all(before)


def everything() -> dict[str, Any]:
    """All of it, and how many processes there seem to be before."""
    alone = {"count alone": process_count(), "gathered alone": gathered(torch.arange(2))}
    with sharing():
        return alone | _everything()


def _own_rows() -> GrowingArray:
    """This process's parts of the numbers from 0 to 8, in parts of two, the last of one."""
    rows = GrowingArray()
    for part in own_batches(np.split(np.arange(9), [2, 4, 6, 8]), this_part()):
        rows.add(part)
    return rows


def _everything() -> dict[str, Any]:
    return {
        "number": process_number(),
        "methods": {name: train_method(settings) for name, settings in METHODS.items()},
        "mixed": train_method({"method": "kd"}, mixed=True),
        "net": train_net(),
        "again": train_net(),
        "careful net": train_net(optimizer="adamw", lr=0.01, gradient_clip=0.1, head_epochs=2, ema=0.9),
        "accumulating net": train_net(accumulate=2),
        "broken net": train_broken_net(),
        "broken accumulating net": train_broken_net(accumulate=2, ema=0.9),
        "synchronised net": train_net_with_batch_norm(ema=0.9),
        "noisy net": train_net_with_drop_out(),
        "resumed net": train_net_in_two_attempts(),
        "gathered": gathered(torch.arange(3) + 3 * process_number()),
        "interleaved": interleaved(own_batches(["a", "b", "c", "d", "e"], this_part())),
        "interleaved rows": interleaved_rows(_own_rows()),
        "in turn": _in_turn(),
        "of all": of_all(process_number()),
        "from the leader": from_leader(f"said by {process_number()}"),
    }
