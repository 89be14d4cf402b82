from typing import Any

import pytest
import torch

from exporters.student.architectures import Architecture, build
from pipeline.models.blocks import repeated_blocks


@pytest.mark.parametrize(
    ("name", "family", "block", "count"),
    [
        ("resnet20", "cifar", "BasicBlock", 9),
        ("mobilenet_v2", "torchvision", "InvertedResidual", 17),
    ],
)
def test_repeated_blocks_are_the_largest_alike(name: str, family: Any, block: str, count: int) -> None:
    with torch.device("meta"):
        blocks = repeated_blocks(build(Architecture(name, family), 3))
    assert [type(module).__name__ for module in blocks] == [block] * count
