"""The ASGI application: its routes, and one JSON form for every error."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from exporters import __version__
from exporters.serving.middleware import CLIENT_CLOSED, OPEN_PATHS, RequestMiddleware
from exporters.serving.problems import RequestError, error_body
from exporters.serving.protocol import JSON_TYPE
from exporters.serving.routes import SERVER, image_routes, inference_routes, repository_routes
from exporters.serving.schemas import Index, errors
from exporters.serving.service import Service


def create_app(service: Service, only: frozenset[str] | None = None) -> ASGIApp:
    """Build the application of a service, which answers while the service is running.

    Args:
        service: what is served.
        only: the paths that are answered; None: all.
    """
    guarded = service.settings.api_key is not None
    app = FastAPI(
        title=SERVER,
        version=__version__,
        summary="A distilled image classifier",
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        responses=errors(401) if guarded else None,
    )
    app.include_router(image_routes(service))
    app.include_router(inference_routes(service))
    if guarded:
        app.include_router(repository_routes(service))
    app.add_api_route("/", _index(app, service), response_model=Index, summary="What is here")
    _describe(app, guarded)
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(ClientDisconnect, _client_closed)
    app.add_exception_handler(Exception, _internal)
    return RequestMiddleware(app, service, only)


def _index(app: FastAPI, service: Service) -> Callable[[], Any]:
    """The answer to whoever opens the address alone: the model, and each route with what it is for."""

    async def index() -> Any:
        bundle = service.holder.current.bundle
        paths = app.openapi()["paths"]
        routes = {
            f"{method.upper()} {path}": operation["summary"]
            for path, operations in paths.items()
            for method, operation in operations.items()
        }
        return {
            "name": SERVER,
            "version": __version__,
            "model_name": bundle.name,
            "model_version": bundle.version,
            "description": app.openapi_url,
            "routes": routes,
        }

    return index


def _describe(app: FastAPI, guarded: bool) -> None:
    """Correct the OpenAPI description: the form of errors, which differs from the framework's, and the API key."""
    description = app.openapi()  # cached by the framework, which serves it to clients
    components = description["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name)
    for operations in description["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                operation["responses"].pop("422")
    if not guarded:
        return
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in description["paths"].items():
        for operation in operations.values():
            if path in OPEN_PATHS:
                operation["responses"].pop("401")
            else:
                operation["security"] = [{"bearer": []}, {"header": []}]


async def _refused(_request: Request, error: Any) -> Response:
    return _error_answer(error.status, error.message, error.headers)


async def _no_route(request: Request, error: Any) -> Response:
    words = {
        404: "there is no such route; GET / lists those that there are",
        405: f"this route does not answer {request.method}; GET / lists the routes with their methods",
    }
    return _error_answer(error.status_code, words.get(error.status_code, str(error.detail)), error.headers)


async def _malformed(_request: Request, error: Any) -> Response:
    first = error.errors()[0]
    wrong = first["msg"]
    if first["type"] == "int_parsing":
        wrong = f"expected an integer, got {str(first['input'])[:60]!r}"
    return _error_answer(400, f"{'.'.join(str(part) for part in first['loc'])}: {wrong}")


async def _client_closed(_request: Request, _error: Any) -> Response:
    return _error_answer(CLIENT_CLOSED, "the client disconnected")  # for the log alone


async def _internal(_request: Request, _error: Any) -> Response:
    return _error_answer(500, "internal error")  # the framework raises it again, and the middleware logs it


def _error_answer(status: int, message: str, headers: Any = None) -> Response:
    return Response(error_body(message), status, headers, JSON_TYPE)
