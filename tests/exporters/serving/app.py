"""The application without a server, within an event loop of its own."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exporters.serving.app import create_app
from exporters.serving.model import LoadedBundle
from exporters.serving.service import Service
from exporters.serving.settings import ServeSettings


class App:
    """One application within an event loop."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._app = create_app(service)

    async def ask(
        self, method: str, path: str, body: bytes | None = b"", **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers, JSON; a body of None is a client that leaves while it sends."""
        sent: list[Any] = []
        query = path.partition("?")[2].encode()
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path.partition("?")[0],
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "scheme": "http",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }

        async def receive() -> Any:
            return {"type": "http.disconnect"} if body is None else {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        answer_headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        is_json = content and "json" in answer_headers["content-type"]
        return sent[0]["status"], answer_headers, json.loads(content) if is_json else content


def run(bundle: LoadedBundle, test: Callable[[App], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        service = Service(ServeSettings(bundle=Path("none"), **settings), bundle)
        async with service.running():
            await test(App(service))

    asyncio.run(main())


def with_logits(bundle: LoadedBundle, logits: Callable[[np.ndarray], np.ndarray]) -> LoadedBundle:
    student = type(bundle.student)(bundle.student._runtime, bundle.student.labels, bundle.student.preprocessing)
    student.logits = logits  # type: ignore[method-assign]
    return replace(bundle, student=student)
