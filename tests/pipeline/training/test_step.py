"""One training step, alone and with real students, teachers and views."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporters.student.architectures import Architecture, build
from pipeline.data.loading import Batch
from pipeline.distill.build import build_method
from pipeline.distill.settings import DistillSettings
from pipeline.distill.task import DistillationTask
from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork
from pipeline.randomness import Samples
from pipeline.tmkd.sampled_views import SampledViews
from pipeline.tmkd.views.settings import EdgeView
from pipeline.tmkd.views.views import Views
from pipeline.training.device import make_fabric
from pipeline.training.meters import EpochMeters
from pipeline.training.optimizer import learning_rate, make_optimizer
from pipeline.training.settings import FitSettings
from pipeline.training.step import Training, train_step, warmup_ramp
from tests.pipeline.training.toy import BATCH, CLASSES, STEPS, Call, Net, Task, batches_of, make_training, run


def network(seed: int) -> TappedNetwork:
    torch.manual_seed(seed)
    return TappedNetwork(build(Architecture("resnet8", "cifar"), CLASSES), (0.5,) * 3, (0.2,) * 3, 8)


def losses_of_step(training: Training, epoch: int, step: int, precision: Any = "fp32") -> dict[str, float]:
    """The losses of a single step on the first batch."""
    fabric, meters = make_fabric("cpu", precision), EpochMeters("toy", epoch)
    model, optimizer = fabric.setup(training.task, make_optimizer(training.task, training.settings))
    train_step(training, fabric, model, optimizer, next(batches_of(0)), epoch, step, meters)
    return meters.losses()


def test_each_batch_of_each_epoch_reaches_the_task_once(tmp_path: Path):
    calls: list[Call] = []
    ended: list[int] = []

    def batches(epoch: int) -> Iterator[Batch]:
        yield from batches_of(epoch)
        ended.append(epoch)  # reached by a loop that asks once more than there are batches

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        calls.append(call)
        return {"ce": task.logits(call.images).square().mean()}

    training = make_training(batches=batches, losses=losses, settings={"epochs": 2}, warmup_epochs=2, scores=[1, 1])
    run(training, tmp_path)
    assert ended == [0, 1]
    expected = [batch for epoch in range(2) for batch in batches_of(epoch)]
    assert len(calls) == len(expected) == 2 * STEPS
    for number, (call, batch) in enumerate(zip(calls, expected, strict=True)):
        np.testing.assert_allclose(call.images.numpy(), batch.images.numpy() / 255.0, rtol=1e-6)
        assert call.images.dtype == torch.float32
        assert call.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(call.labels, batch.labels)
        assert torch.equal(call.samples.indices, batch.indices)
        assert call.samples.epoch == number // STEPS
        assert call.guidance is None
        assert call.ramp == pytest.approx((number + 1) / STEPS / 2)


class Weight(Task):
    """One weight whose gradient is a constant."""

    def __init__(self, gradient: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.gradient = gradient

    def loss(self) -> Tensor:
        return self.gradient * (3 * self.weight[0] - 4 * self.weight[1])


PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


def weight_losses(task: Any, _call: Call) -> dict[str, Tensor]:
    return {"ce": task.loss()}


@pytest.mark.parametrize("schedule", [{"kind": "cosine", "warmup": 1.5}, {"kind": "one_cycle"}])
def test_each_step_uses_the_learning_rate_of_the_schedule(schedule: dict[str, Any], tmp_path: Path):
    net = Weight(1.0)
    run(make_training(net, losses=weight_losses, settings=PLAIN | {"schedule": schedule}), tmp_path)
    settings = FitSettings(**(PLAIN | {"epochs": 4, "lr": 0.1, "schedule": schedule}))
    total = sum(learning_rate(settings, step, STEPS) for step in range(4 * STEPS))
    np.testing.assert_allclose(net.weight.detach().numpy(), [-3 * total, 4 * total], rtol=1e-9)


def test_each_layer_moves_by_its_own_rate(tmp_path: Path):
    class Layered(Weight):
        def __init__(self) -> None:
            super().__init__(1.0)
            self.deep = nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def loss(self) -> Tensor:
            return self.weight.sum() + self.deep.sum()

        def layers(self) -> list[list[nn.Parameter]]:
            return [[self.deep], []]

    net = Layered()
    changes = PLAIN | {"epochs": 1, "lr": 0.5, "schedule": {"kind": "constant"}, "head_lr": 4.0, "layer_decay": 0.5}
    run(make_training(net, losses=weight_losses, settings=changes), tmp_path)
    np.testing.assert_allclose(net.weight.detach().numpy(), -STEPS * 0.5 * 4.0)
    np.testing.assert_allclose(net.deep.detach().numpy(), -STEPS * 0.5 * 0.5)


@pytest.mark.parametrize(("gradient", "clip"), [(10.0, 2.0), (0.1, 2.0), (10.0, None)])
def test_gradient_is_clipped_to_its_norm(gradient: float, clip: float | None, tmp_path: Path):
    net = Weight(gradient)
    changes = PLAIN | {"epochs": 1, "lr": 1.0, "schedule": {"kind": "constant"}, "gradient_clip": clip}
    run(make_training(net, losses=weight_losses, settings=changes), tmp_path)
    norm = 5 * gradient
    length = norm if clip is None else min(norm, clip)
    moved = -net.weight.detach().numpy() / STEPS
    np.testing.assert_allclose(moved, np.array([3.0, -4.0]) / 5 * length, rtol=1e-5)


class Bare(Net):
    """Without drop-out and batch norms, whose statistics are those of a batch."""

    def __init__(self) -> None:
        super().__init__(1, 0.0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.Tanh())


@pytest.mark.parametrize(
    "settings", [{"nesterov": True}, {"optimizer": "adamw", "weight_decay": 0.1, "gradient_clip": 0.2}], ids=str
)
@pytest.mark.parametrize("accumulate", [1, 2, 3, 5])
def test_batches_add_up_to_one_step(accumulate: int, settings: dict[str, Any], tmp_path: Path):
    changes = settings | {"epochs": 3, "accumulate": accumulate, "schedule": {"kind": "cosine", "warmup": 1}}
    training = make_training(Bare(), settings=changes)
    run(training, tmp_path)

    # The same in plain PyTorch, on batches put together; of 3 batches an epoch, groups of 2 leave one over.
    net, schedule, steps = (
        Bare(),
        FitSettings(**({"lr": 0.1} | settings | {"epochs": 3, "schedule": changes["schedule"]})),
        0,
    )
    optimizer, per_epoch = make_optimizer(net, schedule), math.ceil(STEPS / accumulate)
    for epoch in range(3):
        batches = list(batches_of(epoch))
        for start in range(0, STEPS, accumulate):
            group = batches[start : start + accumulate]
            images = torch.cat([batch.images for batch in group]).float() / 255
            loss = nn.functional.cross_entropy(net.logits(images), torch.cat([batch.labels for batch in group]))
            optimizer.zero_grad()
            loss.backward()
            if "gradient_clip" in settings:
                nn.utils.clip_grad_norm_(net.parameters(), settings["gradient_clip"])
            optimizer.param_groups[0]["lr"] = optimizer.param_groups[-1]["lr"] = learning_rate(
                schedule, steps, per_epoch
            )
            optimizer.step()
            steps += 1
    assert steps == 3 * training.updates_per_epoch
    for name, weight in net.state_dict().items():
        torch.testing.assert_close(training.task.state_dict()[name], weight, rtol=0, atol=1e-6)


def test_average_counts_steps_and_not_batches(tmp_path: Path):
    net = Weight(1.0)
    changes = PLAIN | {"epochs": 1, "lr": 1.0, "schedule": {"kind": "constant"}, "ema": 0.9, "accumulate": 2}
    fitted = run(make_training(net, losses=weight_losses, settings=changes), tmp_path)
    # Two steps of (-3, 4); decays (1 + t)/(10 + t) after each.
    expected = (1 - 2 / 11) * 1.0
    expected += (1 - 3 / 12) * (2.0 - expected)
    np.testing.assert_allclose(fitted.final_state["weight"].numpy(), expected * np.array([-3.0, 4.0]), rtol=1e-9)


def test_teacher_sees_the_batch_of_the_student_in_the_same_precision():
    student, visual = network(0), network(1).eval().requires_grad_(False)
    asked: list[tuple[Tensor, Tensor, int, Tensor]] = []
    dtypes: list[torch.dtype] = []

    def teacher(images: Tensor, labels: Tensor, epoch: int, indices: Tensor, shown: Tensor | None) -> NetworkOutput:
        assert shown is None
        asked.append((images, labels, epoch, indices))
        output = visual(images)
        dtypes.append(output.logits.dtype)
        return output

    method = build_method(DistillSettings(method="kd"), student.shape, visual.shape, None)
    training: Any = replace(make_training(), task=DistillationTask(student, method), teacher=teacher)
    assert losses_of_step(training, epoch=2, step=1, precision="bf16").keys() == {"loss_ce", "loss_logits", "loss"}
    batch = next(batches_of(0))
    ((images, labels, epoch, indices),) = asked
    np.testing.assert_allclose(images.numpy(), batch.images.numpy() / 255.0, rtol=1e-6)
    assert torch.equal(labels, batch.labels) and torch.equal(indices, batch.indices) and epoch == 2
    assert dtypes == [torch.bfloat16]


def test_feature_loss_is_warmed_up_over_the_epochs():
    def losses(epoch: int) -> dict[str, float]:
        student, visual = network(0), network(1).eval().requires_grad_(False)
        method = build_method(DistillSettings(method="cat_kd", balance="none"), student.shape, visual.shape, None)
        task: Any = DistillationTask(student, method).eval()
        training = replace(make_training(), task=task, teacher=lambda images, *_: visual(images), warmup_epochs=4)
        return losses_of_step(training, epoch, STEPS - 1)

    early, late, after = (losses(epoch) for epoch in (0, 3, 5))
    assert early["loss_feature"] == pytest.approx(late["loss_feature"] / 4, rel=1e-5)
    assert after["loss_feature"] == late["loss_feature"] > 0
    assert early["loss_ce"] == late["loss_ce"]


def test_task_is_shown_each_image_in_its_sampled_view():
    views = SampledViews(Views({"edge": EdgeView(strength=0.5)}), 3, "a")
    calls: list[Call] = []

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        calls.append(call)
        return {"ce": task.logits(call.images).square().mean()}

    losses_of_step(make_training(losses=losses, views=views), epoch=1, step=0)
    batch = next(batches_of(0))
    expected = views(batch.images.float() / 255, views.sample(Samples(batch.indices, 1)))
    torch.testing.assert_close(calls[0].images, expected)
    assert calls[0].images.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(expected, batch.images.float() / 255) and len(expected) == BATCH


def test_teacher_is_asked_about_the_view_that_the_student_is_shown():
    views = SampledViews(Views({"edge": EdgeView(strength=0.5)}), 3, "a")
    student, visual = network(0), network(1).eval().requires_grad_(False)
    asked: list[tuple[Tensor, Tensor | None]] = []

    def teacher(images: Tensor, _labels: Tensor, _epoch: int, _indices: Tensor, shown: Tensor | None) -> NetworkOutput:
        asked.append((images, shown))
        return visual(images)

    method = build_method(DistillSettings(method="kd"), student.shape, visual.shape, None)
    training: Any = replace(make_training(), task=DistillationTask(student, method), teacher=teacher, views=views)
    losses_of_step(training, epoch=1, step=0)
    batch = next(batches_of(0))
    ((images, shown),) = asked
    # The teacher makes its views itself, of the plain images.
    np.testing.assert_allclose(images.numpy(), batch.images.numpy() / 255.0, rtol=1e-6)
    assert shown is not None and torch.equal(shown, views.sample(Samples(batch.indices, 1)))


@pytest.mark.parametrize(
    ("epochs", "warmup", "expected"),
    [(0.0, 0, 1.0), (5.0, 0, 1.0), (0.0, 4, 0.0), (1.0, 4, 0.25), (3.5, 4, 0.875), (4.0, 4, 1.0), (9.0, 4, 1.0)],
)
def test_warmup_is_linear_up_to_one(epochs: float, warmup: int, expected: float):
    assert warmup_ramp(epochs, warmup) == pytest.approx(expected)
