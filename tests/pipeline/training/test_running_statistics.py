import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small

from pipeline.console import Console
from pipeline.data.loading import Batch
from pipeline.randomness import generator
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Fitted, fit
from pipeline.training.running_statistics import (
    chosen_momenta,
    describe_misfit,
    describe_momenta,
    least_momentum,
    momenta_chosen,
)
from pipeline.training.step import Training
from tests.pipeline.training.toy import CLASSES, SIZE, STEPS, Net, Task, make_training

IMAGES = 16
"""In a batch."""


class Bright(Task):
    """A network that tells images by how bright they are, after a norm of some momentum."""

    def __init__(self, momentum: float | None = 0.001) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm2d(3, momentum=momentum)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(3, CLASSES)
        self.seen: list[Tensor] = []

    def layers(self) -> list[list[nn.Parameter]]:
        return [list(self.norm.parameters())]

    def logits(self, images: Tensor) -> Tensor:
        if self.training:
            self.seen.append(50 * images.detach())
        return self.head(self.drop(self.norm(50 * images).mean((2, 3))))

    def classifier(self) -> Callable[[Tensor], Tensor]:
        return self.logits


def brightness(epoch: int) -> Iterator[Batch]:
    """Images whose class is how bright they are."""
    for step in range(STEPS):
        labels = torch.arange(IMAGES) % CLASSES
        noise = generator(0, "noise", epoch, step).integers(0, 40, (IMAGES, 3, SIZE, SIZE), dtype="uint8")
        images = torch.from_numpy(noise) + (80 * labels).to(torch.uint8).view(-1, 1, 1, 1)
        yield Batch(images, labels, step * IMAGES + torch.arange(IMAGES))


def training_of(momentum: Any, task: Task | None = None, epochs: int = 20) -> Training:
    settings = {"epochs": epochs, "batch_norm_momentum": momentum, "lr": 0.3}
    return make_training(task or Bright(), batches=brightness, settings=settings)


def fitted(training: Training, folder: Path) -> tuple[Fitted, str]:
    stream = io.StringIO()
    checkpoint = Checkpoint(folder / "checkpoint.pt", "one")
    return fit(training, make_fabric("cpu", "fp32"), checkpoint, Console(stream, plain=True)), stream.getvalue()


@given(st.integers(1, 10**6), st.integers(1, 1000))
def test_one_percent_of_the_first_values_is_left_after_an_epoch(steps: int, epochs: int):
    momentum = least_momentum(steps, epochs)
    if steps >= 44:  # .9^44 < .01
        assert (1 - momentum) ** steps == pytest.approx(0.01, rel=1e-6)
    elif steps * epochs >= 44:
        assert momentum == 0.1
    else:
        assert momentum > 0.1 and (1 - momentum) ** (steps * epochs) == pytest.approx(0.01)


def test_norms_of_the_usual_momentum_are_left_alone_from_44_steps_on(tmp_path: Path):
    assert chosen_momenta(training_of("auto", Bright(0.1), epochs=15)) == {}  # 45 steps
    assert chosen_momenta(training_of("auto", Bright(0.1), epochs=14)).keys() == {"norm"}
    auto, network = (fitted(training_of(each, Bright(0.1)), tmp_path / each)[0] for each in ("auto", "network"))
    assert all(torch.equal(auto.final_state[key], value) for key, value in network.final_state.items())
    assert auto.final_state.keys() == network.final_state.keys()


@pytest.mark.parametrize(("asked", "momentum"), [("auto", 0.1), (0.3, 0.3), ("network", 0.001)])
def test_statistics_follow_the_batches_by_the_chosen_momentum(asked: Any, momentum: float, tmp_path: Path):
    training = training_of(asked)
    result, _ = fitted(training, tmp_path)
    mean, variance = torch.zeros(3), torch.ones(3)
    seen: list[Tensor] = training.task.seen  # type: ignore[assignment]
    assert len(seen) == 20 * STEPS
    for values in seen:
        mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
        variance = (1 - momentum) * variance + momentum * values.var((0, 2, 3))
    torch.testing.assert_close(result.final_state["norm.running_mean"], mean)
    torch.testing.assert_close(result.final_state["norm.running_var"], variance)


def test_weights_do_not_depend_on_the_momentum(tmp_path: Path):
    auto, network = (fitted(training_of(each), tmp_path / each)[0] for each in ("auto", "network"))
    for key, value in network.final_state.items():
        assert torch.equal(auto.final_state[key], value) == ("running" not in key), key


def test_network_has_its_own_momentum_again_afterwards():
    training = training_of("auto")
    with pytest.raises(KeyError), momenta_chosen(training):
        assert training.task.norm.momentum == 0.1  # type: ignore[union-attr]
        raise KeyError
    assert training.task.norm.momentum == 0.001  # type: ignore[union-attr]


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3, momentum=None), nn.BatchNorm2d(3, track_running_stats=False)])
@pytest.mark.parametrize("asked", ["auto", 0.5])
def test_norms_without_moving_averages_are_left_alone(norm: nn.Module, asked: Any):
    task = Bright()
    task.norm = norm  # type: ignore[assignment]
    assert chosen_momenta(training_of(asked, task)) == {}


def test_statistics_of_pretrained_weights_are_kept_as_long_as_the_network_says():
    network = mobilenet_v3_small()
    training = replace(training_of("auto"), task=network)  # type: ignore[arg-type]
    names = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert chosen_momenta(training).keys() == names
    first = network.features[0][1]
    first.running_var[3] = 0.5  # as trained
    assert chosen_momenta(training).keys() == names - {"features.0.1"}
    assert chosen_momenta(replace(training, settings=training_of(0.2).settings))["features.0.1"] == (0.01, 0.2)


def test_choice_is_described():
    network = mobilenet_v3_small()
    training = replace(training_of("auto"), task=network)  # type: ignore[arg-type]
    assert describe_momenta(training) == (
        "batch norms get momentum 0.1 in place of 0.01, which would leave 97 % of their running statistics' initial"
        " values after an epoch of 3 steps (batch_norm_momentum: network keeps it)"
    )
    assert describe_momenta(training_of("auto", Bright(0.1), epochs=10)) == (
        "batch norms get momentum 0.142 in place of 0.1, which would leave 4 % of their running statistics' initial"
        " values after all 30 steps (batch_norm_momentum: network keeps it)"
    )
    assert describe_momenta(training_of(0.25)) == (
        "batch norms get momentum 0.25 in place of 0.001 (batch_norm_momentum)"
    )
    assert describe_momenta(training_of("network")) == describe_momenta(training_of(0.001)) == ""
    assert describe_momenta(training_of("auto", Net(1, 0.5), epochs=15)) == ""


@pytest.mark.parametrize(("asked", "is_told"), [("network", True), ("auto", False)])
def test_statistics_that_do_not_fit_the_weights_are_reported(asked: str, is_told: bool, tmp_path: Path):
    result, said = fitted(training_of(asked), tmp_path)
    told = "toy: the running statistics of batch norms do not fit the weights: of 16 training images, 31 % are"
    assert (told in said) == is_told and ("running statistics of batch norms do not fit" in said) == is_told
    assert ("or with batch_norm_momentum: auto" in said) == is_told
    assert result.history[-1]["loss_ce"] < 0.7


def test_looking_at_the_statistics_changes_nothing():
    training, fabric = training_of("network"), make_fabric("cpu", "fp32")
    task = training.task
    before = {key: value.clone() for key, value in task.state_dict().items()}
    random = torch.get_rng_state()
    described = describe_misfit(training, fabric, {"loss_ce": 0.1, "validation_top1": 0.3})
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[key], value) for key, value in task.state_dict().items())
    assert not any(module.training for module in task.modules())
    assert described == ""  # a network that has learned nothing is no better with statistics of its batches


@pytest.mark.parametrize("metrics", [{"loss_ce": 1.0, "validation_top1": 0.4}, {"validation_top1": 0.0}])
def test_nothing_is_looked_at_where_validation_is_as_good_as_training(metrics: dict[str, float]):
    training = training_of("network")
    training.task.train()
    assert describe_misfit(training, make_fabric("cpu", "fp32"), metrics) == ""
    assert training.task.training
