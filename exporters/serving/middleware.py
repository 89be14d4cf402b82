"""What every request passes: an id, the API key, figures, a line in the log, and an answer whatever happens."""

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
"""What answers without the API key: probes of orchestrators have none."""

_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,64}")
GONE = 499
"""A client that left before it had its answer, as nginx counts it."""
_MOST_OF_PATH = 200
_NO_CONTENT, _NOT_ALLOWED = 204, 405


class RequestMiddleware:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; `lifespan` goes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        status = 0
        method = scope["method"]
        # What answers GET answers HEAD alike, without the body.
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                message = _with_methods(message, method)
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
                if self._service.draining:
                    message["headers"].append((b"connection", b"close"))
            elif method == "HEAD" or status == _NO_CONTENT:
                message = {**message, "body": b""}
            await send(message)

        try:
            key = self._service.settings.api_key
            if key is None or scope["path"] in OPEN_PATHS or key.allows(scope["headers"]):
                await self._app(inner, receive, send_marked)
            else:
                message = "an API key is needed, as Authorization: Bearer KEY"
                await _answer(send_marked, 401, message, (b"www-authenticate", b"Bearer"))
        except Exception:
            # Starlette has answered with 500 and raised it again.
            logger.exception("internal error", extra={"event": "error", "request": request_id.decode("ascii")})
        finally:
            self._tell(inner, method, request_id, status or GONE, time.perf_counter() - started)

    def _tell(self, scope: Scope, method: str, request_id: bytes, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._service.metrics.request(method, route, status, seconds)
        if logger.isEnabledFor(logging.INFO):
            extra: dict[str, Any] = {
                "event": "request",
                "request": request_id.decode("ascii"),
                "method": method,
                "path": scope["path"][:_MOST_OF_PATH],
                "status": status,
                "milliseconds": round(1e3 * seconds, 2),
                "client": scope["client"][0] if scope.get("client") else None,
            }
            logger.info("%s %s %d", method, route, status, extra=extra)


def _with_methods(message: Message, method: str) -> Message:
    """An answer that tells which methods a path takes, with HEAD and OPTIONS among them; OPTIONS asks for just that."""
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
    """The client's `X-Request-ID` where it is one, else a new one."""
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
