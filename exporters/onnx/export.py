"""Exports a student to one ONNX file that takes uint8 images.

Input `image` uint8 `[batch, size, size, 3]` RGB; output `logits` float32 `[batch, K]`. Normalization is inside the
graph; so are, where requested, resizing from any size and probabilities.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from exporters import __version__
from exporters.core.errors import GateError, UsageError
from exporters.core.files import sha256_bytes, write_bytes
from exporters.core.outputs import OUTPUT_NAME
from exporters.onnx.graph import checked, opsets
from exporters.onnx.metadata import model_metadata
from exporters.onnx.reparameterize import fuse_branches
from exporters.onnx.resizing import add_resize
from exporters.onnx.tracing import MAX_OPSET, MIN_OPSET, strip, trace
from exporters.student.student import TrainedStudent

INPUT_NAME = "image"
PROBABILITIES_NAME = "probabilities"
_LAST_OPSET_OF_IR_10 = 22
_BATCH = 2  # of the example: the exporter takes a dimension of 1 for a constant
_MAX_BYTES = 2**31 - 1  # of a protobuf message, and so of an ONNX file without external data


@dataclass(frozen=True)
class OnnxExport:
    """The written file: path, sha256, size in bytes, opset, IR version and operator counts."""

    path: Path
    sha256: str
    size: int
    opset: int
    ir_version: int
    operators: dict[str, int]


class NormalizedStudent(nn.Module):
    """The student with the normalization of its preprocessing in front.

    The cast comes first, since TensorRT parses no transpose of uint8; scale and shift are (1/255)/std and -mean/std,
    rounded once from float64.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, student: TrainedStudent, *, probabilities: bool = False, temperature: float = 1.0) -> None:
        super().__init__()
        self.probabilities = probabilities
        # A tensor only where it divides, so that without one the graph is what it was.
        self.temperature = None if temperature == 1 else nn.Buffer(torch.tensor(temperature, dtype=torch.float32))
        mean = torch.tensor(student.preprocessing.mean, dtype=torch.float64).view(1, 3, 1, 1)
        std = torch.tensor(student.preprocessing.std, dtype=torch.float64).view(1, 3, 1, 1)
        self.student = student.module
        self.register_buffer("scale", (1 / (255 * std)).float())
        self.register_buffer("shift", (-mean / std).float())

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Uint8 `[B, H, W, 3]` to logits `[B, K]`, or to logits and the softmax of `logits / temperature`."""
        # Contiguous: on a channels-last map, torch's global pooling is traced as a strided view, hence as gathers.
        x = image.to(torch.float32).permute(0, 3, 1, 2).contiguous()
        logits: Tensor = self.student(x * self.scale + self.shift)
        if not self.probabilities:
            return logits
        divided = logits if self.temperature is None else logits / self.temperature
        return logits, divided.softmax(dim=1)


def export_onnx(
    student: TrainedStudent,
    path: Path,
    opset: int = 20,
    *,
    name: str | None = None,
    licence: str | None = None,
    probabilities: bool = False,
    temperature: float = 1.0,
    any_size: bool = False,
) -> OnnxExport:
    """Write `path`, one self-contained file; the same student gives the same bytes.

    Training-time branches are fused first (`exporters.onnx.reparameterize`).

    The model's metadata hold the labels, the preprocessing, the student's name, the tool's version and the licence
    (if given), each as a JSON string. Stack traces, documentation and other traces of this machine are removed.

    Args:
        student: fp32, on the CPU, in eval mode throughout.
        opset: 18 to 25; the file is checked to have it.
        name: that the model gets; None for the student's own.
        licence: of the weights; None leaves it out.
        probabilities: a second output `probabilities` float32 `[batch, K]`, the softmax of `logits / temperature`.
        temperature: of the probabilities; 1 adds nothing to the graph.
        any_size: input `image` uint8 `[batch, height, width, 3]`; shorter-side resize and centre crop are in the graph.

    Raises:
        UsageError: an opset that the exporter would silently change.
        UnavailableError: the network cannot be exported.
        GateError: a student in train mode, a file that does not have the requested form, or fused branches that compute
            another function.
    """
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise UsageError(
            f"opset {opset} cannot be exported", remedy=f"Choose {MIN_OPSET} to {MAX_OPSET}; 20 is well supported."
        )
    _check_ready(student)
    size = student.preprocessing.size
    with torch.no_grad():
        shape = getattr(NormalizedStudent(student).eval()(_example(size)), "shape", None)
    if shape != (_BATCH, len(student.labels)):
        raise UsageError(f"the student gives {shape} for two images and has {len(student.labels)} labels")
    model = to_graph(student, opset, probabilities=probabilities, temperature=temperature)
    strip(model)
    if any_size:
        add_resize(model, student.preprocessing)
    _describe(model, student, student.name if name is None else name, licence)
    model = _checked(model, student, opset, probabilities=probabilities, any_size=any_size)
    data = model.SerializeToString(deterministic=True)
    if len(data) > _MAX_BYTES:
        raise GateError(f"{path.name}: {len(data):,} bytes do not fit into one ONNX file")
    write_bytes(path, data)
    return OnnxExport(path, sha256_bytes(data), len(data), opset, model.ir_version, _operators(model))


def to_graph(
    student: TrainedStudent,
    opset: int,
    *,
    probabilities: bool = False,
    temperature: float = 1.0,
    folded: bool = True,
) -> onnx.ModelProto:
    """The student as an ONNX model, as PyTorch's exporter writes it; training-time branches are fused first.

    Args:
        student: fp32, on the CPU, in eval mode throughout.
        opset: 18 to 25.
        probabilities, temperature: a second output, as `export_onnx` takes them.
        folded: compute constants and fold batch norms into weights. Otherwise each value of the network is computed by
            nodes from its parameters and buffers as they are.

    Raises:
        UnavailableError: the network cannot be exported.
        GateError: the fused branches compute another function.
    """
    fused = fuse_branches(student)
    wrapped = NormalizedStudent(fused, probabilities=probabilities, temperature=temperature).eval()
    return trace(
        wrapped,
        _example(student.preprocessing.size),
        opset,
        name=student.architecture.name,
        input_name=INPUT_NAME,
        outputs=[OUTPUT_NAME, PROBABILITIES_NAME] if probabilities else [OUTPUT_NAME],
        folded=folded,
    )


def _example(size: int) -> Tensor:
    return torch.zeros(_BATCH, size, size, 3, dtype=torch.uint8)


def _check_ready(student: TrainedStudent) -> None:
    training = [name or "the student" for name, module in student.module.named_modules() if module.training]
    if training:
        raise GateError(
            f"{', '.join(training[:3])} is in train mode: its batch norm and dropout would be exported as in training",
            remedy="Call `module.eval()` before the export.",
        )
    for name, value in student.module.state_dict().items():
        if value.is_floating_point() and value.dtype != torch.float32:
            raise UsageError(f"the student's {name} is {value.dtype}, not float32")
        if value.device.type != "cpu":
            raise UsageError(f"the student's {name} is on {value.device}, not on the CPU")
        if not bool(torch.isfinite(value).all()):
            raise GateError(f"the student's {name} holds NaN or infinity")


def _describe(model: onnx.ModelProto, student: TrainedStudent, name: str, licence: str | None) -> None:
    model.producer_name = "tmkd-pipeline"
    model.producer_version = __version__
    model.model_version = 1
    model.graph.name = "student"
    metadata = model_metadata(name, __version__, student.labels, student.preprocessing, licence)
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)


def _checked(
    model: onnx.ModelProto, student: TrainedStudent, opset: int, *, probabilities: bool = False, any_size: bool = False
) -> onnx.ModelProto:
    """The model with inferred shapes, after checking opset, IR version, weights, inputs and outputs."""
    written = opsets(model)
    if written != {"": opset}:
        raise GateError(f"the exported model has operator sets {written}, not opset {opset}")
    if opset <= _LAST_OPSET_OF_IR_10 and model.ir_version > 10:
        raise GateError(f"the exported model has IR version {model.ir_version}; opset {opset} needs no more than 10")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise GateError("the exported model keeps weights in a second file")
    model = checked(model, "the exported model")
    size = student.preprocessing.size
    sides: list[int | str] = ["height", "width"] if any_size else [size, size]
    expected: dict[str, tuple[int, list[int | str]]] = {INPUT_NAME: (onnx.TensorProto.UINT8, ["batch", *sides, 3])}
    for name in (OUTPUT_NAME, PROBABILITIES_NAME) if probabilities else (OUTPUT_NAME,):
        expected[name] = (onnx.TensorProto.FLOAT, ["batch", len(student.labels)])
    found = {value.name: _type_of(value) for value in [*model.graph.input, *model.graph.output]}
    if found != expected:
        raise GateError(f"the exported model has inputs and outputs {found}, not {expected}")
    return model


def _type_of(value: onnx.ValueInfoProto) -> tuple[int, list[int | str]]:
    tensor = value.type.tensor_type
    return tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]


def _operators(model: onnx.ModelProto) -> dict[str, int]:
    return dict(sorted(Counter(node.op_type for node in model.graph.node).items()))
