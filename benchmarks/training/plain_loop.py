"""Plain training against the loop of a PyTorch tutorial."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.training import ours
from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.subjects import LR, MOMENTUM, WEIGHT_DECAY, Subjects
from pipeline.models.weights import IMAGENET_MEAN, IMAGENET_STD


def measure(subjects: Subjects, rounds: int) -> list[Claim]:
    """Our plain training over the loop's: at most .90."""
    contenders = {"plain": ours.steps(subjects, "ce"), "torch loop": steps(subjects)}
    costs = interleaved(contenders, rounds)
    return [Claim("plain_loop", "plain", "torch loop", costs, subjects.pair.pixels, 0.9, subjects.facts)]


def steps(subjects: Subjects) -> Callable[[], None]:
    """A piece of work: all batches, each forward, backward and step."""
    network = subjects.student().network.train()
    optimizer = make_sgd(network)
    criterion = nn.CrossEntropyLoss()

    def work() -> None:
        for images, labels in zip(subjects.images, subjects.labels, strict=True):
            loss = criterion(network(normalised(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return work


def make_sgd(*modules: nn.Module) -> torch.optim.SGD:
    """SGD with the numbers of all contenders, otherwise as PyTorch has it."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.SGD(parameters, lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)


def normalised(images: Tensor) -> Tensor:
    """uint8 `[B, 3, S, S]` as a network's input."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images.float() / 255 - mean) / std
