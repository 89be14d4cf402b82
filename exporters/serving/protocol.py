"""The tensors of the Open Inference Protocol v2, as JSON and with the binary tensor data extension.

A binary request is JSON followed by the bytes of the tensors: the header `Inference-Header-Content-Length` says where
the JSON ends, and `binary_data_size` in the parameters of an input its number of bytes. Responses have the same form.
"""

import math
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from exporters.serving.problems import RequestError

HEADER_LENGTH = "Inference-Header-Content-Length"
JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"
INPUT, OUTPUT = "image", "logits"
_REFUSED = ("classification", "shared_memory_region")  # ignoring them would answer another question than was asked


@dataclass(frozen=True)
class InferRequest:
    """A parsed inference request.

    Args:
        images: uint8 `[n, size, size, 3]`, n of 1 or more.
        id: the client's name for the request, or None.
        binary: whether the logits are to be sent as bytes.
    """

    images: np.ndarray
    id: str | None
    binary: bool


def parse_request(body: bytes, header_length: str | None, size: int) -> InferRequest:
    """Parse the body of an inference request.

    Args:
        body: of the request.
        header_length: the header `Inference-Header-Content-Length`; None: there is none, and the whole body is JSON.
        size: side of the model's images.

    Raises:
        RequestError: 400, naming what is wrong.
    """
    end = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 12):
            raise _refused(f"{HEADER_LENGTH} is not a number")
        end = int(header_length)
        if not 0 < end <= len(body):
            raise _refused(f"{HEADER_LENGTH} is {end}, and the body has {len(body)} bytes")
    try:
        value = from_json(body[:end] if end < len(body) else body, allow_inf_nan=False)
    except ValueError as error:
        raise _refused(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _refused("a request is a JSON object")
    id_ = value.get("id")
    if id_ is not None and not isinstance(id_, str):
        raise _refused("id is a text")
    binary = _wants_binary(value)
    return InferRequest(_images(value.get("inputs"), memoryview(body)[end:], size), id_, binary)


def _wants_binary(value: dict[str, Any]) -> bool:
    binary = _flag(_parameters(value, "the request"), "binary_data_output", False)
    outputs = value.get("outputs")
    if outputs is None:
        return binary
    if not isinstance(outputs, list) or len(outputs) > 1 or not all(isinstance(output, dict) for output in outputs):
        raise _refused(f"outputs is a list with {OUTPUT!r} at most")
    for output in outputs:
        if output.get("name") != OUTPUT:
            raise _refused(f"there is no output {output.get('name')!r}, only {OUTPUT!r}")
        binary = _flag(_parameters(output, f"output {OUTPUT!r}"), "binary_data", binary)
    return binary


def _images(inputs: Any, raw: memoryview, size: int) -> np.ndarray:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _refused(f"inputs is a list with one tensor, {INPUT!r}")
    tensor = inputs[0]
    if tensor.get("name") != INPUT:
        raise _refused(f"there is no input {tensor.get('name')!r}, only {INPUT!r}")
    if tensor.get("datatype") != "UINT8":
        raise _refused(f"input {INPUT!r} is UINT8, not {tensor.get('datatype')!r}")
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) != 4
        or any(type(side) is not int for side in shape)
        or shape[1:] != [size, size, 3]
        or shape[0] < 1
    ):
        raise _refused(f"input {INPUT!r} has the shape [n, {size}, {size}, 3] with n of 1 or more, not {shape!r}")
    stated = _parameters(tensor, f"input {INPUT!r}").get("binary_data_size")
    count = math.prod(shape)
    if stated is None:
        if len(raw):
            raise _refused(f"{len(raw)} bytes follow the JSON, and no input has a binary_data_size")
        return _from_json(tensor.get("data"), shape)
    if tensor.get("data") is not None:
        raise _refused(f"input {INPUT!r} has both data and binary_data_size")
    if type(stated) is not int or stated != len(raw) or stated != count:
        raise _refused(
            f"input {INPUT!r} needs {count} bytes: binary_data_size says {stated!r}, and {len(raw)} follow the JSON"
        )
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _from_json(data: Any, shape: list[int]) -> np.ndarray:
    """Convert flat or nested lists of integers from 0 to 255, in row-major order, to uint8 of that shape."""
    if not isinstance(data, list):
        raise _refused(f"input {INPUT!r} needs data, or a binary_data_size")
    count = math.prod(shape)
    # NumPy would guess the type, and could use any amount of memory for data that do not fit.
    values = data
    if data and isinstance(data[0], list):
        for side in shape[1:]:
            if not all(type(part) is list and len(part) == side for part in values):
                raise _refused(f"the data of input {INPUT!r} are not nested as its shape")
            values = list(chain.from_iterable(values))
    if len(values) != count:
        raise _refused(f"input {INPUT!r} needs {count} values, and has {len(values)}")
    try:
        pixels = bytes(values) if set(map(type, values)) == {int} else None
    except (ValueError, OverflowError):
        pixels = None
    if pixels is None:
        raise _refused(f"the data of input {INPUT!r} are whole numbers from 0 to 255")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _parameters(value: dict[str, Any], what: str) -> dict[str, Any]:
    """The parameters of an object of the protocol; null, for all or for one of them, means not given."""
    parameters = value.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise _refused(f"the parameters of {what} are a JSON object")
    for key in _REFUSED:
        if parameters.get(key) is not None:
            raise _refused(f"the parameter {key} of {what} is not supported")
    return parameters


def _flag(parameters: dict[str, Any], key: str, default: bool) -> bool:
    flag = parameters.get(key)
    if flag is None:
        return default
    if not isinstance(flag, bool):
        raise _refused(f"{key} is true or false")
    return flag


def _refused(message: str) -> RequestError:
    return RequestError(400, message)


def write_response(
    logits: np.ndarray, request: InferRequest, *, name: str, version: str
) -> tuple[bytes, str, dict[str, str]]:
    """Serialize the response to a request.

    Args:
        logits: float32 `[n, K]`.
        request: as parsed.
        name, version: of the model.

    Returns:
        Body, content type, further headers.
    """
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "FP32", "shape": list(logits.shape)}
    answer: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": [output]}
    if request.id is not None:
        answer["id"] = request.id
    if not request.binary:
        output["data"] = logits.reshape(-1).tolist()
        return to_json(answer), JSON_TYPE, {}
    raw = logits.astype("<f4", copy=False).tobytes()
    output["parameters"] = {"binary_data_size": len(raw)}
    head = to_json(answer)
    return head + raw, BINARY_TYPE, {HEADER_LENGTH: str(len(head))}
