"""Recomputes, in a newly built network, the constants that a network computes from its weights alone.

Exporters compute such values once and write them down: standardised weights, biases laid out by relative position,
position encodings, the ones and zeros that an opset's form of a norm asks for. Here the architecture is built anew from
its name, with other random weights, given the student's parameters and saved buffers and nothing else, and translated
without folding anything; ONNX Runtime then computes what no image has a part in. What comes out follows from the code
of the architecture and the student's own state. A buffer that is not saved, an index, a constant in the code: each has
the value of the new network here, and where the exported network holds another one, it is not explained.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from exporters.core.wording import first_of

if TYPE_CHECKING:
    import onnx

    from exporters.student.student import TrainedStudent

_SEED = 0x5EED  # of the new network: whatever is drawn and not saved differs from what the exported network drew
_BATCHES = (2, 3)
_NAMED = 3
_VALUES_READ = {"Shape": 0, "Size": 0, "CastLike": 1}  # the other inputs lend their shape or type alone
_NEVER_CONSTANT = ("Random", "Bernoulli", "Multinomial", "Dropout", "Sequence", "SplitToSequence", "Optional")


@dataclasses.dataclass(frozen=True)
class Constant:
    """A value that no image has a part in, and the parameters and saved buffers of the student that it follows from."""

    value: np.ndarray
    sources: tuple[str, ...]

    @property
    def origin(self) -> str:
        """As one line of text."""
        if not self.sources:
            return "constant of the architecture"
        return f"computed from {first_of(self.sources, _NAMED)}"


def recompute(student: "TrainedStudent", opset: int, sizes: Iterable[int]) -> list[Constant]:
    """The constants of the student's network that have one of these numbers of values.

    Args:
        student: what was exported.
        opset: of the exported file; the form of an operation depends on it.

    Returns:
        In the order of the network; none where the student's module is not what its architecture builds.

    Raises:
        UnavailableError: the network cannot be translated, or ONNX Runtime cannot run it.
    """
    from exporters.onnx.export import to_graph

    fresh = _built_afresh(student)
    if fresh is None:
        return []
    model = to_graph(fresh, opset, folded=False)
    return list(_constants(model, frozenset(student.module.state_dict()), frozenset(sizes), student.preprocessing.size))


def _built_afresh(student: "TrainedStudent") -> "TrainedStudent | None":
    import torch

    from exporters.student.architectures import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        module = build(student.architecture, len(student.labels))
    given, wanted = student.module.state_dict(), module.state_dict()
    if {key: value.shape for key, value in given.items()} != {key: value.shape for key, value in wanted.items()}:
        return None
    module.load_state_dict(given)
    return dataclasses.replace(student, module=module.eval().requires_grad_(False))


def _constants(model: "onnx.ModelProto", own: frozenset[str], sizes: frozenset[int], side: int) -> Iterator[Constant]:
    from onnx import numpy_helper

    sources: dict[str, frozenset[str]] = {}
    for tensor in model.graph.initializer:
        sources[tensor.name] = own.intersection({tensor.name.removeprefix("student.")})
        if not sources[tensor.name] and math.prod(tensor.dims) in sizes:
            yield Constant(numpy_helper.to_array(tensor), ())
    by_shape = _spread(model, sources)
    wanted = [name for name in _computed(model, sizes) if name in sources]
    values = dict(zip(wanted, _run(model, wanted, _BATCHES[0], side), strict=True))
    # What follows from a shape may follow from the number of images: then it differs.
    again = [name for name in wanted if name in by_shape]
    for name, value in zip(again, _run(model, again, _BATCHES[1], side), strict=True):
        if value.shape != values[name].shape or value.tobytes() != values[name].tobytes():
            del values[name]
    yield from (Constant(value, tuple(sorted(sources[name]))) for name, value in values.items() if value.size in sizes)


def _spread(model: "onnx.ModelProto", sources: dict[str, frozenset[str]]) -> set[str]:
    """Give `sources` each value that no image has a part in; gives those that the shape of another value has."""
    by_shape: set[str] = set()
    for node in model.graph.node:
        read = [name for name in node.input[: _VALUES_READ.get(node.op_type)] if name]
        inner = any(attribute.HasField("g") for attribute in node.attribute)
        if inner or node.op_type.startswith(_NEVER_CONSTANT) or not all(name in sources for name in read):
            continue
        follows = frozenset[str]().union(*(sources[name] for name in read))
        sources.update((name, follows) for name in node.output if name)
        if len(read) < len(node.input) or by_shape.intersection(read):
            by_shape.update(name for name in node.output if name)
    return by_shape


def _computed(model: "onnx.ModelProto", sizes: frozenset[int]) -> list[str]:
    """Outputs of nodes, but those that are known to have another number of values."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    known = {
        value.name: math.prod(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in inferred.value_info
        if value.type.tensor_type.HasField("shape")
        and all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
    }
    names = [name for node in model.graph.node for name in node.output if name]
    return [name for name in names if name not in known or known[name] in sizes]


def _run(model: "onnx.ModelProto", names: list[str], images: int, side: int) -> list[np.ndarray]:
    from exporters.onnx.graph import unoptimized_session

    if not names:
        return []
    noise = np.random.default_rng(images).integers(0, 256, (images, side, side, 3), dtype=np.uint8)
    values: list[np.ndarray] = unoptimized_session(model, names).run(names, {model.graph.input[0].name: noise})
    return values
