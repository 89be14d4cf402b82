"""Wraps every request: request id, API key, metrics, one line in the log, and an answer even on an internal error."""

import logging
import re
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporters.serving.problems import error_body
from exporters.serving.service import Service

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready"})
"""Paths that need no API key: probes of orchestrators have none."""
ADMIN_PATHS = OPEN_PATHS | {"/metrics", "/drift"}
"""What is answered on the port for administration."""

_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,64}")
CLIENT_CLOSED = 499
"""Status of a request whose client disconnected before the answer, as in nginx."""
_MAX_LOGGED_PATH = 200
_NO_CONTENT, _NOT_ALLOWED = 204, 405


class RequestMiddleware:
    """The outermost ASGI application.

    Args:
        app: the wrapped application.
        service: its settings and metrics.
        only: the paths that are answered; None: all that `app` has.
    """

    def __init__(self, app: ASGIApp, service: Service, only: frozenset[str] | None = None) -> None:
        self._app = app
        self._service = service
        self._only = only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; `lifespan` events are passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        status = 0
        method = scope["method"]
        # HEAD is answered as GET, without the body.
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope

        async def send_response(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                message = _with_allow_header(message, method)
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
                if self._service.draining:
                    message["headers"].append((b"connection", b"close"))
            elif method == "HEAD" or status == _NO_CONTENT:
                message = {**message, "body": b""}
            await send(message)

        try:
            key = self._service.settings.api_key
            if self._only is not None and scope["path"] not in self._only:
                await _answer(send_response, 404, "this port answers probes, metrics and drift alone")
            elif key is None or scope["path"] in OPEN_PATHS or key.allows(scope["headers"]):
                await self._app(inner, receive, send_response)
            else:
                message = "an API key is needed, as Authorization: Bearer KEY"
                await _answer(send_response, 401, message, (b"www-authenticate", b"Bearer"))
        except Exception:
            # Starlette has answered with 500 and raised it again.
            logger.exception("internal error", extra={"event": "error", "request": request_id.decode("ascii")})
        finally:
            self._record(inner, method, request_id, status or CLIENT_CLOSED, time.perf_counter() - started)

    def _record(self, scope: Scope, method: str, request_id: bytes, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._service.metrics.request(method, route, status, seconds)
        if logger.isEnabledFor(logging.INFO):
            extra: dict[str, Any] = {
                "event": "request",
                "request": request_id.decode("ascii"),
                "method": method,
                "path": scope["path"][:_MAX_LOGGED_PATH],
                "status": status,
                "milliseconds": round(1e3 * seconds, 2),
                "client": scope["client"][0] if scope.get("client") else None,
            }
            logger.info("%s %s %d", method, route, status, extra=extra)


def _with_allow_header(message: Message, method: str) -> Message:
    """Add HEAD and OPTIONS to the `Allow` header of a 405; for OPTIONS, answer 204 with that header."""
    if message["status"] != _NOT_ALLOWED:
        return message
    headers = dict(message["headers"])
    allowed = set(headers.pop(b"allow", b"").replace(b" ", b"").split(b",")) | {b"OPTIONS"}
    if b"GET" in allowed:
        allowed.add(b"HEAD")
    headers[b"allow"] = b", ".join(sorted(allowed - {b""}))
    if method != "OPTIONS":
        return {**message, "headers": list(headers.items())}
    return {**message, "status": _NO_CONTENT, "headers": [(b"allow", headers[b"allow"])]}


def _request_id(scope: Scope) -> bytes:
    """The client's `X-Request-ID` if it is valid, else a new id."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return value
    return secrets.token_hex(8).encode("ascii")


async def _answer(send: Send, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
    body = error_body(message)
    length = (b"content-length", str(len(body)).encode("ascii"))
    start = [(b"content-type", b"application/json"), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
