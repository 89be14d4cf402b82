"""Bodies of requests and responses, for the OpenAPI description."""

from typing import Any

from pydantic import BaseModel, Field


class ErrorBody(BaseModel):
    """Body of every response with a status of 400 or more."""

    error: str


class Prediction(BaseModel):
    """A label and its probability."""

    label: str
    probability: float = Field(ge=0, le=1)


class Predictions(BaseModel):
    """The most likely labels of an image, most likely first."""

    model_name: str
    model_version: str
    known: bool = Field(
        default=None,  # type: ignore[assignment]  # absent where the bundle does not tell
        description="Whether the image is like the training data; only of a bundle that tells.",
    )
    predictions: list[Prediction]


class Index(BaseModel):
    """What is served, and where."""

    name: str
    version: str
    model_name: str
    model_version: str
    description: str = Field(description="Path of the OpenAPI description.")
    routes: dict[str, str] = Field(description="Method and path → what it is for.")


class Live(BaseModel):
    """Whether the process is alive."""

    live: bool


class Ready(BaseModel):
    """Whether the server accepts requests."""

    ready: bool


class ModelReady(Ready):
    """Whether a model accepts requests."""

    name: str


class ServerMetadata(BaseModel):
    """Name, version and protocol extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor of the model; -1 stands for any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """Versions, inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class RepositoryEntry(BaseModel):
    """The one model of the repository."""

    name: str
    version: str
    state: str


class Loaded(BaseModel):
    """The model after a reload."""

    name: str
    version: str


class DriftStatistic(BaseModel):
    """A statistic of the latest images and of validation's: images in each bin, and what the last look found."""

    psi: float | None
    p_value: float | None
    alarm: bool
    edges: list[float]
    reference: list[int]
    window: list[int]


class Drift(BaseModel):
    """The latest images beside those of validation."""

    model_name: str
    model_version: str
    window: int
    images: int
    seen: int
    looks: int
    level: float | None
    least_psi: float
    alarm: bool
    statistics: dict[str, DriftStatistic]


class OutputTensor(BaseModel):
    """Logits, flat in row-major order, or as bytes that follow the JSON."""

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
                        "description": "binary_data_size, if the tensor's bytes follow the JSON.",
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
"""JSON Schema of an inference request. It cannot say that `data` must fit `shape`; the server answers 400 if not."""

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
    """The error responses of a route, for its description."""
    return {status: {"model": ErrorBody} for status in statuses}
