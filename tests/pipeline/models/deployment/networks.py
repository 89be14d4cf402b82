"""Teachers, images and places for the tests of this folder."""

from pathlib import Path

import torch
from torch import Tensor

from exporters.student.architectures import Architecture, build
from pipeline.models.deployment.choice import Place
from pipeline.models.tapped import TappedNetwork
from tests.pipeline.models.deployment.test_folding import settled

SIZE = 16


def teacher(*, stages: bool = False) -> TappedNetwork:
    torch.manual_seed(0)
    network = settled(build(Architecture("resnet8", "cifar"), 6))
    tapped = TappedNetwork(network, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), SIZE).eval()
    tapped.tap_stages = stages
    return tapped


def images(count: int = 5, size: int = SIZE) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(3))


def place(folder: Path, trained_on: int = 1, *, mixed: bool = False, key: str = "key") -> Place:
    return Place(folder, key, torch.device("cpu"), mixed, lambda: images(3), trained_on)
