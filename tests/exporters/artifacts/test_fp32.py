"""The fp32 file is the student, with its labels and its maps."""

from pathlib import Path

import numpy as np
import pytest

from exporters.artifacts.fp32 import check_has_cam, check_metadata, make_fp32
from exporters.core.errors import UsageError
from exporters.runtimes import OnnxRuntime
from exporters.student.architectures import Architecture
from tests.exporters.conftest import Exported, make_student
from tests.exporters.graphs import converting_once


def test_fp32_is_traced_to_the_student_and_carries_its_labels(cifar: Exported, tmp_path: Path) -> None:
    said: list[str] = []
    fp32 = make_fp32(cifar.student, tmp_path, 20, say=said.append)
    assert fp32.core == fp32.shipped == (tmp_path / "model.onnx").read_bytes() and fp32.opset == 20
    assert fp32.entries and f"all {len(fp32.entries)} tensors come from the trained model" in said[0]
    check_metadata("model.onnx", fp32.shipped, cifar.student)
    any_size = make_fp32(cifar.student, tmp_path, 20, any_size=True)
    assert len(any_size.core) < len(any_size.shipped) and any_size.core_entries
    assert fp32.cam is None and fp32.base == (fp32.core, fp32.core_entries)


def test_file_with_maps_is_the_file_without_them_and_a_few_nodes_more(cifar: Exported, tmp_path: Path) -> None:
    with converting_once():
        fp32 = make_fp32(cifar.student, tmp_path, 20, cam=True)
        every = make_fp32(cifar.student, tmp_path, 20, cam=True, any_size=True)
    assert fp32.plain == cifar.data and fp32.plain_entries == cifar.entries  # what is exported without them
    assert fp32.core == fp32.shipped and OnnxRuntime(fp32.shipped).map_size == (8, 8)
    assert fp32.operators["ArgMax"] == 1 and "ArgMax" not in cifar.export.operators
    assert fp32.entries[: len(cifar.entries)] == cifar.entries
    assert every.plain_entries == fp32.plain_entries and OnnxRuntime(every.core).map_size == (8, 8)
    found = OnnxRuntime(every.shipped, threads=1).explain(np.pad(cifar.images, ((0, 0), (2, 2), (2, 2), (0, 0))))
    assert found.cam.shape == (20, 8, 8)


def test_student_without_maps_is_refused_by_name(tmp_path: Path) -> None:
    student = make_student(tmp_path, Architecture("test_convnext", "timm"), 64)
    with pytest.raises(UsageError, match="test_convnext has no class activation maps"):
        check_has_cam(student)
