import pytest
import torch
from torch import nn

from pipeline.costs.flops import measure_size


def test_convolution_and_matrix_count_two_operations_a_multiplication() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5))
    size = measure_size(network, torch.rand(4, 3, 8, 8))
    assert size.forward == 2 * (8 * 3 * 9 * 16 + 8 * 16 * 5)
    assert size.training == 3 * size.forward
    assert size.parameters == 8 * 27 + 8 + 5 * 128 + 5


def test_frozen_transformers_are_counted_whole_and_left_as_they_were() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval().requires_grad_(False)
    tokens = torch.rand(1, 7, 16)
    counted = measure_size(layer, tokens)
    projections = 2 * 7 * 16 * (3 * 16 + 16 + 32 + 32)
    attention = 2 * 2 * 7 * 7 * 16  # scores, and values by them
    assert counted.forward == pytest.approx(projections + attention)
    assert not layer.training and not any(parameter.requires_grad for parameter in layer.parameters())


def test_activations_are_what_is_kept_for_the_way_back() -> None:
    network = nn.Sequential(nn.Linear(10, 20, bias=False), nn.ReLU())
    # The input of the linear layer and the output of the ReLU, four bytes each; weights are not counted.
    assert measure_size(network, torch.rand(3, 10)).activations == 4 * (10 + 20)
