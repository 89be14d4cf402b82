import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from exporters.serving.problems import RequestError
from exporters.serving.protocol import InferRequest, parse_request, write_response

SIZE = 4
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHAPES = st.tuples(st.integers(1, 3), st.integers(2, 5))
IMAGES = st.integers(1, 3).flatmap(lambda n: arrays.arrays(np.uint8, (n, SIZE, SIZE, 3)))


def request(images: np.ndarray, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(images.shape), "data": images.tolist(), **changes}
    return {"inputs": [{key: value for key, value in tensor.items() if value is not None}]}


def parsed(value: Any, raw: bytes = b"", header: str | None = None) -> InferRequest:
    head = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_request(head + raw, header or (str(len(head)) if raw else None), SIZE)


def refusal(value: Any, raw: bytes = b"", header: str | None = None) -> str:
    with pytest.raises(RequestError) as caught:
        parsed(value, raw, header)
    assert caught.value.status == 400
    return caught.value.message


@settings(deadline=None, max_examples=40)
@given(images=IMAGES, flat=st.booleans(), name=st.none() | st.text())
def test_json_tensors_are_read(images: np.ndarray, flat: bool, name: str | None) -> None:
    value = request(images, data=images.reshape(-1).tolist() if flat else images.tolist())
    found = parsed(value if name is None else {**value, "id": name})
    np.testing.assert_array_equal(found.images, images)
    assert found.images.dtype == np.uint8
    assert (found.id, found.binary) == (name, False)


@settings(deadline=None, max_examples=40)
@given(images=IMAGES)
def test_binary_tensors_are_read(images: np.ndarray) -> None:
    value = request(images, data=None, parameters={"binary_data_size": images.size})
    np.testing.assert_array_equal(parsed(value, images.tobytes()).images, images)


@settings(deadline=None, max_examples=40)
@given(
    logits=arrays.arrays(np.float32, SHAPES, elements=NUMBERS),
    name=st.none() | st.text(),
    binary=st.booleans(),
)
def test_responses_hold_the_logits(logits: np.ndarray, name: str | None, binary: bool) -> None:
    asked = InferRequest(np.zeros((1, 1, 1, 3), np.uint8), name, binary)
    body, kind, headers = write_response(logits, asked, name="finches", version="7")
    length = int(headers["Inference-Header-Content-Length"]) if binary else len(body)
    assert kind == ("application/octet-stream" if binary else "application/json")
    answer = json.loads(body[:length])
    assert (answer["model_name"], answer["model_version"], answer.get("id")) == ("finches", "7", name)
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("logits", "FP32", list(logits.shape))
    if binary:
        assert output["parameters"] == {"binary_data_size": len(body) - length}
        found = np.frombuffer(body[length:], "<f4")
    else:
        found = np.array(output["data"], np.float32)
    np.testing.assert_array_equal(found.reshape(logits.shape), logits)


@pytest.mark.parametrize(
    ("extra", "binary"),
    [
        ({}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"outputs": [{"name": "logits"}]}, False),
        ({"outputs": [{"name": "logits", "parameters": {"binary_data": True}}]}, True),
        (
            {
                "outputs": [{"name": "logits", "parameters": {"binary_data": False}}],
                "parameters": {"binary_data_output": True},
            },
            False,
        ),
        ({"outputs": [], "unknown": 1}, False),
    ],
)
def test_requested_output_form_is_recognised(extra: dict[str, Any], binary: bool) -> None:
    assert parsed({**request(np.zeros((1, SIZE, SIZE, 3), np.uint8)), **extra}).binary is binary


@pytest.mark.parametrize(
    "extra",
    [
        {"parameters": None},
        {"id": None},
        {"outputs": None},
        {"parameters": {"binary_data_output": None}},
        {"outputs": [{"name": "logits", "parameters": None}]},
        {"outputs": [{"name": "logits", "parameters": {"binary_data": None, "classification": None}}]},
        {"id": None, "parameters": None, "outputs": None},
    ],
)
def test_null_fields_count_as_absent(extra: dict[str, Any]) -> None:
    images = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(1, SIZE, SIZE, 3)
    value = {**request(images), **extra}
    (tensor,) = value["inputs"]
    for parameters in (None, {}, {"binary_data_size": None, "shared_memory_region": None}):
        found = parsed({**value, "inputs": [{**tensor, "parameters": parameters}]})
        np.testing.assert_array_equal(found.images, images)
        assert (found.id, found.binary) == (None, False)
    tensor |= {"data": None, "parameters": {"binary_data_size": images.size}}
    np.testing.assert_array_equal(parsed(value, images.tobytes()).images, images)


ZEROS = np.zeros((1, SIZE, SIZE, 3), np.uint8)
COUNT = ZEROS.size


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "images"}, "no input 'images'"),
        ({"datatype": "FP32"}, "UINT8"),
        ({"shape": [1, SIZE, SIZE]}, "shape"),
        ({"shape": [0, SIZE, SIZE, 3], "data": []}, "shape"),
        ({"shape": [-1, SIZE, SIZE, 3]}, "shape"),
        ({"shape": [True, SIZE, SIZE, 3]}, "shape"),
        ({"shape": [1, SIZE + 1, SIZE, 3]}, "shape"),
        ({"shape": [10**30, SIZE, SIZE, 3]}, "values"),
        ({"shape": None}, "shape"),
        ({"data": None}, "needs data"),
        ({"data": "0" * COUNT}, "needs data"),
        ({"data": [0] * (COUNT - 1)}, "values"),
        ({"data": [256] * COUNT}, "0 to 255"),
        ({"data": [-1] * COUNT}, "0 to 255"),
        ({"data": [10**40] * COUNT}, "0 to 255"),
        ({"data": [0.5] * COUNT}, "0 to 255"),
        ({"data": [True] * COUNT}, "0 to 255"),
        ({"data": [None] * COUNT}, "0 to 255"),
        ({"data": [True, *[0] * (COUNT - 1)]}, "0 to 255"),
        ({"data": ["0", *[0] * (COUNT - 1)]}, "0 to 255"),
        ({"data": ["x" * 100_000, *["x"] * (COUNT - 1)]}, "0 to 255"),
        ({"data": []}, "0"),
        ({"data": [[0], 0]}, "nested"),
        ({"data": [[[[0, 0, 0]] * SIZE] * SIZE, 0]}, "nested"),
        ({"data": [[["abc"] * SIZE] * SIZE]}, "nested"),
        ({"data": [[[[0]] * SIZE] * SIZE]}, "nested"),
        ({"data": [[[[0, 0, [0]]] * SIZE] * SIZE]}, "0 to 255"),
        ({"data": [[[[0, 0, 0]] * SIZE] * SIZE] * 2}, "values"),
        ({"parameters": []}, "JSON object"),
        ({"parameters": {"shared_memory_region": "x"}}, "not supported"),
        ({"parameters": {"binary_data_size": COUNT}}, "both"),
        ({"data": None, "parameters": {"binary_data_size": COUNT}}, "0 follow"),
    ],
)
def test_invalid_tensors_are_refused(changes: dict[str, Any], told: str) -> None:
    assert told in refusal(request(ZEROS, **changes))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"inputs": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ([], "JSON object"),
        ({}, "inputs"),
        ({"inputs": [{}, {}]}, "inputs"),
        ({"inputs": [1]}, "inputs"),
        ({**request(ZEROS), "id": 7}, "id"),
        ({**request(ZEROS), "outputs": [{"name": "x"}]}, "no output 'x'"),
        ({**request(ZEROS), "outputs": {}}, "outputs"),
        ({**request(ZEROS), "outputs": [{"name": "logits", "parameters": {"classification": 3}}]}, "classification"),
        ({**request(ZEROS), "parameters": {"binary_data_output": 1}}, "binary_data_output"),
    ],
)
def test_invalid_requests_are_refused(value: Any, told: str) -> None:
    assert told in refusal(value)


@pytest.mark.parametrize("size", [0, COUNT - 1, COUNT + 1, -1, "48", True, 1e9])
def test_wrong_sizes_of_binary_data_are_refused(size: Any) -> None:
    value = request(ZEROS, data=None, parameters={"binary_data_size": size})
    assert "needs 48 bytes" in refusal(value, ZEROS.tobytes())


def test_surplus_bytes_are_refused() -> None:
    value = request(ZEROS, data=None, parameters={"binary_data_size": COUNT})
    assert "needs 48 bytes" in refusal(value, ZEROS.tobytes() + b"x")
    assert "follow the JSON" in refusal(request(ZEROS), b"x")


@settings(deadline=None, max_examples=60)
@given(header=st.text(max_size=8) | st.integers(-9, 10**6).map(str), body=st.binary(max_size=60))
def test_malformed_headers_and_bodies_are_refused(header: str, body: bytes) -> None:
    with pytest.raises(RequestError):
        parse_request(body, header, SIZE)
