"""`POST /predict`, `GET /metrics` and the Open Inference Protocol v2."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic_core import to_json

from exporters import __version__
from exporters.client import Student
from exporters.core.errors import TmkdError
from exporters.serving import metrics, protocol, schemas
from exporters.serving.drift import unwatched
from exporters.serving.model import ServedModel
from exporters.serving.problems import RequestError
from exporters.serving.schemas import errors
from exporters.serving.service import Service

SERVER = "tmkd-pipeline"
PLATFORM = "onnxruntime_onnx"
_COMPUTED = (400, 408, 413, 415, 503, 504)
_MODEL = "/v2/models/{name}"
_VERSION = "/v2/models/{name}/versions/{version}"


def image_routes(service: Service) -> APIRouter:
    """Routes for image files and for Prometheus."""
    router = APIRouter()

    @router.post(
        "/predict",
        response_model=schemas.Predictions,
        responses=errors(*_COMPUTED, 422),
        openapi_extra={"requestBody": schemas.IMAGE_BODY},
        summary="Classify an image file",
    )
    async def predict(request: Request, top: Annotated[int, Query(ge=1, le=100_000)] = 5) -> Response:
        """Takes an image as the form field `file` or as the whole body; answers as `Student.answer` does."""
        model = service.holder.current
        async with service.bodies.read(request) as body:
            with service.admission.admit(1):
                async with service.in_time():
                    image = await service.decode(model.student, body, request.headers.get("content-type"))
                    logits = await model.batcher.logits(image.pixels[None])
        if model.drift is not None:
            model.drift.add(image.pixels[None], logits, (image.width, image.height))
        found = model.student.answer_of(logits[0], top)
        answer = {
            "model_name": model.bundle.name,
            "model_version": model.bundle.version,
            **({} if found.known is None else {"known": found.known}),
            "predictions": [{"label": label, "probability": probability} for label, probability in found.labels],
        }
        return Response(to_json(answer), media_type=protocol.JSON_TYPE)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        summary="Metrics for Prometheus",
    )
    async def prometheus() -> Response:
        return Response(service.metrics.render(), media_type=metrics.CONTENT_TYPE)

    @router.get(
        "/drift",
        response_model=schemas.Drift,
        responses=errors(404),
        summary="The latest images beside those of validation",
    )
    async def drift() -> Any:
        model = service.holder.current
        if model.drift is None:
            raise RequestError(404, unwatched(model.bundle))
        return {"model_name": model.bundle.name, "model_version": model.bundle.version, **model.drift.to_json()}

    return router


def inference_routes(service: Service) -> APIRouter:
    """Routes of the Open Inference Protocol v2."""
    router = APIRouter(prefix="")

    def model_of(name: str, version: str | None) -> ServedModel:
        model = service.holder.current
        if name != model.bundle.name:
            raise RequestError(404, f"there is no model {name[:100]!r} here, only {model.bundle.name!r}")
        if version not in (None, model.bundle.version):
            raise RequestError(404, f"there is no version {version[:100]!r} here, only {model.bundle.version!r}")
        return model

    def readiness(response: Response) -> bool:
        is_ready = service.ready
        response.status_code = 200 if is_ready else 503
        return is_ready

    @router.get("/v2", response_model=schemas.ServerMetadata)
    async def server_metadata() -> Any:
        extensions = ["binary_tensor_data"]
        if service.settings.api_key is not None:
            extensions.append("model_repository")
        return {"name": SERVER, "version": __version__, "extensions": extensions}

    @router.get("/v2/health/live", response_model=schemas.Live)
    async def live() -> Any:
        return {"live": True}

    @router.get("/v2/health/ready", response_model=schemas.Ready, responses={503: {"model": schemas.Ready}})
    async def ready(response: Response) -> Any:
        return {"ready": readiness(response)}

    @router.get(_MODEL, response_model=schemas.ModelMetadata, responses=errors(404))
    @router.get(_VERSION, response_model=schemas.ModelMetadata, responses=errors(404))
    async def model_metadata(name: str, version: str | None = None) -> Any:
        model = model_of(name, version)
        return model_description(model.student, model.bundle.name, model.bundle.version)

    @router.get(f"{_MODEL}/ready", response_model=schemas.ModelReady, responses=_unready())
    @router.get(f"{_VERSION}/ready", response_model=schemas.ModelReady, responses=_unready())
    async def model_ready(response: Response, name: str, version: str | None = None) -> Any:
        return {"name": model_of(name, version).bundle.name, "ready": readiness(response)}

    infer_description: dict[str, Any] = {
        "response_model": schemas.InferAnswer,
        "responses": {
            200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}},
            **errors(*_COMPUTED, 404),
        },
        "openapi_extra": {"requestBody": schemas.INFER_BODY},
        "summary": "Logits of prepared images",
    }

    @router.post(f"{_MODEL}/infer", **infer_description)
    @router.post(f"{_VERSION}/infer", **infer_description)
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        """Tensor `image`, UINT8 `[n, size, size, 3]`, to `logits`, FP32 `[n, classes]`; JSON or binary tensors."""
        model = model_of(name, version)
        size = model.student.preprocessing.size
        async with service.bodies.read(request) as body, service.in_time():
            length = request.headers.get(protocol.HEADER_LENGTH)
            asked = await service.prepare(protocol.parse_request, body, length, size)
            with service.admission.admit(len(asked.images)):
                logits = await model.batcher.logits(asked.images)
        if model.drift is not None:
            model.drift.add(asked.images, logits)
        answer, kind, headers = protocol.write_response(
            logits, asked, name=model.bundle.name, version=model.bundle.version
        )
        return Response(answer, media_type=kind, headers=headers)

    return router


def repository_routes(service: Service) -> APIRouter:
    """Routes of the protocol's model repository extension: list and reload the model. Only with an API key."""
    router = APIRouter(prefix="/v2/repository")

    @router.post("/index", response_model=list[schemas.RepositoryEntry])
    async def index() -> Any:
        bundle = service.holder.current.bundle
        return [{"name": bundle.name, "version": bundle.version, "state": "READY"}]

    @router.post("/models/{name}/load", response_model=schemas.Loaded, responses=errors(404, 409))
    async def load(name: str) -> Any:
        """Reload the bundle from its folder; used once it is verified, otherwise the old one stays (409)."""
        known = service.holder.current.bundle.name
        if name != known:
            raise RequestError(404, f"there is no model {name[:100]!r} here, only {known!r}")
        try:
            bundle = await service.holder.reload()
        except TmkdError as error:
            raise RequestError(409, f"the old bundle stays: {error.message}") from error
        return {"name": bundle.name, "version": bundle.version}

    return router


def model_description(student: Student, name: str, version: str) -> dict[str, Any]:
    """Metadata of a model, as the protocol defines them."""
    size = student.preprocessing.size
    return {
        "name": name,
        "versions": [version],
        "platform": PLATFORM,
        "inputs": [{"name": protocol.INPUT, "datatype": "UINT8", "shape": [-1, size, size, 3]}],
        "outputs": [{"name": protocol.OUTPUT, "datatype": "FP32", "shape": [-1, len(student.labels)]}],
    }


def _unready() -> dict[int | str, dict[str, Any]]:
    return {**errors(404), 503: {"model": schemas.ModelReady}}
