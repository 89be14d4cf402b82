from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from exporters.onnx.features import export_features


class Small(nn.Module):
    """A convolution with a batch norm, and what is made of its map."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Linear(4, 5)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        feature_map = self.norm(self.conv(images)).relu()
        return self.head(feature_map.mean((2, 3))), feature_map


def test_file_gives_every_output_for_any_batch(tmp_path: Path) -> None:
    path, network = tmp_path / "net.onnx", Small()
    export_features(network, 9, ("logits", "feature_map"), path, "net")
    images = torch.rand(3, 3, 9, 9)
    found = onnx.reference.ReferenceEvaluator(str(path)).run(["logits", "feature_map"], {"image": images.numpy()})
    for ours, expected in zip(found, network(images), strict=True):
        np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)
    model = onnx.load(path)
    assert not any(node.metadata_props for node in model.graph.node)
    assert [node.op_type for node in model.graph.node].count("BatchNormalization") == 0


def test_output_without_a_batch_is_refused(tmp_path: Path) -> None:
    class Scalar(Small):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(images)[0], images.sum()

    with pytest.raises(UnavailableError, match="net cannot be exported to ONNX: it gives"):
        export_features(Scalar(), 9, ("logits", "total"), tmp_path / "net.onnx", "net")
    assert not (tmp_path / "net.onnx").exists()
