"""From ONNX bytes to a strongly typed TensorRT network, with one clear message where that fails."""

from typing import Any

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.outputs import CAM_NAME, OUTPUT_NAME
from exporters.tensorrt.libraries import Library
from exporters.tensorrt.messages import Messages, plain

INPUT_NAME = "image"
_INT8_REMEDY = (
    "Quantize for TensorRT: symmetric int8 weights and activations, without the biases (S8S8, `QuantizeBias=False`)."
)
_MOST_ERRORS = 3


def make_builder(library: Library, logger: Any, messages: Messages) -> Any:
    """TensorRT's builder; UnavailableError where it does not start, which for TensorRT itself needs a GPU."""
    try:
        builder = library.module.Builder(logger)
    except (TypeError, RuntimeError) as error:  # TypeError: pybind11 was given no object
        raise UnavailableError(
            f"{library.title} cannot build here: {messages.errors}",
            remedy=None if library.is_rtx else "It needs an NVIDIA GPU; TensorRT for RTX builds engines without one.",
        ) from error
    return builder


def parse(library: Library, builder: Any, logger: Any, data: bytes, name: str) -> Any:
    """The network of a model, whose input and output are those of a bundle's model.

    Args:
        data: of one self-contained ONNX file.
        name: of the file, for messages.

    Raises:
        GateError: not ONNX, an operator that TensorRT does not take, or another input or output.
    """
    network = builder.create_network(library.network_flags)
    parser = library.module.OnnxParser(network, logger)
    if not parser.parse(data):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        raise _parser_error(library, name, errors)
    if network.num_inputs == 0 or network.num_outputs == 0:  # bytes that happen to be an empty protobuf message
        raise GateError(f"{name}: not an ONNX model, or one without input or output")
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    image = inputs[0]
    if (
        [tensor.name for tensor in inputs] != [INPUT_NAME]
        or image.dtype != library.module.DataType.UINT8
        or len(image.shape) != 4
        or image.shape[3] != 3
        or image.shape[1] != image.shape[2]
        or image.shape[1] <= 0
        or [tensor.name for tensor in outputs] not in ([OUTPUT_NAME], [OUTPUT_NAME, CAM_NAME])
    ):
        raise GateError(f"{name}: does not take `{INPUT_NAME}` (uint8, [batch, S, S, 3]) and give `{OUTPUT_NAME}`")
    return network


def _parser_error(library: Library, name: str, errors: list[Any]) -> GateError:
    reasons, remedy = [], None
    for error in errors[:_MOST_ERRORS]:
        text = plain(str(error.desc()).splitlines())
        operator, node = error.node_operator(), error.node_name()
        reasons.append(f"{operator} {node!r}: {text}" if node else text)
        if operator in {"DequantizeLinear", "QuantizeLinear"}:
            remedy = _INT8_REMEDY
    more = f"; and {len(errors) - _MOST_ERRORS} more" if len(errors) > _MOST_ERRORS else ""
    whole = "; ".join(reasons) or "it gave no reason"
    if remedy is not None and "Int32" in whole:
        return GateError(
            f"{name}: its biases are int32, which {library.title} does not take ({whole}{more})", remedy=remedy
        )
    return GateError(f"{name}: {library.title} cannot parse it: {whole}{more}", remedy=remedy)


def batch_shapes(network: Any, batch: tuple[int, int, int] | None) -> list[tuple[int, ...]] | None:
    """Shapes min, opt, max of `image` for the optimization profile; None where the model's batch is fixed.

    Raises:
        UsageError: a dynamic batch without numbers, or numbers that are not the fixed batch.
    """
    shape = tuple(network.get_input(0).shape)
    if shape[0] > 0:
        if batch is not None and set(batch) != {shape[0]}:
            raise UsageError(f"tensorrt.batch: the model's batch is fixed at {shape[0]}, not {list(batch)}")
        return None
    if batch is None:
        raise UsageError(
            "tensorrt.batch: the model's batch is dynamic, and an engine needs to know which batches to expect",
            remedy="Give min, opt and max.",
        )
    return [(size, *shape[1:]) for size in batch]
