"""One conversion for each network in a session: for tests that export the same student many times over."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import pytest

from exporters.onnx import export
from exporters.student.student import TrainedStudent

_kept: dict[str, bytes] = {}


def _identity(student: TrainedStudent, opset: int, options: dict[str, bool]) -> str:
    """A hash of all that a conversion follows from: the network's code, by its printed structure, and its numbers."""
    settings = (student.architecture, student.preprocessing, opset, sorted(options.items()), student.module)
    digest = hashlib.sha256(repr(settings).encode())
    for values in (student.module.named_parameters(), student.module.named_buffers()):
        for name, value in values:
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def converting_once() -> Iterator[None]:
    """PyTorch's exporter converts each network once; one with the same structure and numbers gets the same graph."""
    convert = export.to_graph

    def to_graph(student: TrainedStudent, opset: int, **options: bool) -> onnx.ModelProto:
        key = _identity(student, opset, options)
        if key not in _kept:
            _kept[key] = convert(student, opset, **options).SerializeToString()
        return onnx.load_from_string(_kept[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "to_graph", to_graph)
        yield
