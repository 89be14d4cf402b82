"""The bodies of requests and answers, as the OpenAPI description tells them."""

from typing import Any

from pydantic import BaseModel, Field


class ErrorBody(BaseModel):
    """Every answer of 400 and above."""

    error: str


class Prediction(BaseModel):
    """One label and its probability."""

    label: str
    probability: float = Field(ge=0, le=1)


class Predictions(BaseModel):
    """The most likely labels of an image, most likely first."""

    model_name: str
    model_version: str
    predictions: list[Prediction]


class Live(BaseModel):
    """The process answers."""

    live: bool


class Ready(BaseModel):
    """Requests are welcome."""

    ready: bool


class ModelReady(Ready):
    """The same, of a model."""

    name: str


class ServerMetadata(BaseModel):
    """Who answers."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor of the model; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """The model that answers."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class RepositoryEntry(BaseModel):
    """A model of the repository, which has one."""

    name: str
    version: str
    state: str


class Loaded(BaseModel):
    """What answers after a reload."""

    name: str
    version: str


class OutputTensor(BaseModel):
    """Logits, flat and in row-major order, or as bytes behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float] | None = None
    parameters: dict[str, Any] | None = None


class InferAnswer(BaseModel):
    """The answer to an inference request."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


_BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}

INFER_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"], "properties": {"binary_data_output": {"type": ["boolean", "null"]}}},
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "properties": {
                    "name": {"const": "image"},
                    "datatype": {"const": "UINT8"},
                    "shape": {
                        "type": "array",
                        "items": {"type": "integer", "minimum": 1},
                        "minItems": 4,
                        "maxItems": 4,
                        "description": "[n, size, size, 3]",
                    },
                    "parameters": {
                        "type": ["object", "null"],
                        "properties": {"binary_data_size": {"type": ["integer", "null"], "minimum": 1}},
                        "description": "binary_data_size, where the tensor's bytes follow the JSON.",
                    },
                    "data": {
                        "type": ["array", "null"],
                        "description": "Whole numbers from 0 to 255, flat or nested, in row-major order.",
                    },
                },
            },
        },
        "outputs": {
            "type": ["array", "null"],
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"const": "logits"},
                    "parameters": {
                        "type": ["object", "null"],
                        "properties": {"binary_data": {"type": ["boolean", "null"]}},
                    },
                },
            },
        },
    },
}
"""JSON Schema of an inference request. That `data` fit `shape` is beyond it, and told by 400."""

INFER_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": INFER_REQUEST},
        "application/octet-stream": {"schema": _BINARY},
    },
}

IMAGE_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY}},
        },
        "image/*": {"schema": _BINARY},
        "application/octet-stream": {"schema": _BINARY},
    },
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers that are errors, for the description of a route."""
    return {status: {"model": ErrorBody} for status in statuses}
