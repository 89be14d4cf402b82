"""The application without a server: what a client cannot bring about at will."""

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.serving.app import create_app
from exporters.serving.middleware import logger
from exporters.serving.model import LoadedBundle, load_bundle
from exporters.serving.security import ApiKey
from exporters.serving.service import Service
from exporters.serving.settings import ServeSettings

from .conftest import KEY, photo


@pytest.fixture(scope="module")
def bundle(packed: Path) -> LoadedBundle:
    return load_bundle(packed, "fp32", "cpu")


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
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        is_json = content and "json" in told["content-type"]
        return sent[0]["status"], told, json.loads(content) if is_json else content


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


def test_an_error_of_ours_is_logged_and_not_told(bundle: LoadedBundle, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_images: np.ndarray) -> np.ndarray:
        raise RuntimeError("a secret of ours")

    async def test(app: App) -> None:
        status, headers, told = await app.ask("POST", "/predict", photo(), x_request_id="seven")
        assert (status, told) == (500, {"error": "internal error"})
        assert headers["x-request-id"] == "seven"
        status, _, _ = await app.ask("POST", "/predict", b"no image")
        assert status == 422
        assert app.service.admission.images == 0

    run(with_logits(bundle, fails), test)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info and "a secret of ours" in str(record.exc_info[1])
    assert vars(record)["request"] == "seven"


def test_what_takes_too_long(bundle: LoadedBundle) -> None:
    go = threading.Event()

    def waits(images: np.ndarray) -> np.ndarray:
        assert go.wait(60)
        return np.zeros((len(images), 7), np.float32)

    async def test(app: App) -> None:
        try:
            status, _, told = await app.ask("POST", "/predict", photo())
        finally:
            go.set()
        assert (status, told) == (504, {"error": "not computed within 0.5 s"})
        assert app.service.admission.images == 0

    run(with_logits(bundle, waits), test, timeout=0.5)


def test_a_client_that_leaves(bundle: LoadedBundle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger.name)

    async def test(app: App) -> None:
        assert (await app.ask("POST", "/predict", None))[0] == 499  # which nobody reads
        assert 'status="499"' in (await app.ask("GET", "/metrics"))[2].decode()

    run(bundle, test)
    assert [vars(record)["status"] for record in caplog.records if vars(record).get("event") == "request"] == [499, 200]


def test_a_server_that_ends_is_not_ready_and_still_answers(bundle: LoadedBundle) -> None:
    async def test(app: App) -> None:
        assert (await app.ask("GET", "/v2/health/ready"))[:1] == (200,)
        app.service.draining = True
        for path, told in (("/v2/health/ready", {}), ("/v2/models/finches/ready", {"name": "finches"})):
            assert (await app.ask("GET", path))[::2] == (503, {"ready": False, **told})
        assert (await app.ask("GET", "/v2/health/live"))[::2] == (200, {"live": True})
        status, headers, told = await app.ask("POST", "/predict?top=1", photo())
        assert (status, headers["connection"], len(told["predictions"])) == (200, "close", 1)

    run(bundle, test)


def test_head_sends_no_body_whatever_serves_the_application(bundle: LoadedBundle) -> None:
    async def test(app: App) -> None:
        app.service.draining = True
        for method, path, expected in (
            ("HEAD", "/v2/health/live", 200), ("HEAD", "/v2/health/ready", 503), ("HEAD", "/predict", 405),
            ("HEAD", "/none", 404), ("OPTIONS", "/predict", 204),
        ):  # fmt: skip
            status, _, content = await app.ask(method, path)
            assert (status, content) == (expected, b"")

    run(bundle, test)


def test_inference_and_administration(bundle: LoadedBundle) -> None:
    image = np.zeros((2, 32, 32, 3), np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(image.shape), "data": image.tolist()}

    async def test(app: App) -> None:
        key = {"x_api_key": KEY}
        asked = json.dumps({"inputs": [tensor]}).encode()
        assert (await app.ask("POST", "/v2/models/finches/infer", asked))[0] == 401
        status, _, told = await app.ask("POST", "/v2/models/finches/infer", asked, **key)
        assert (status, told["outputs"][0]["shape"]) == (200, [2, 7])
        status, _, told = await app.ask("POST", "/v2/models/finches/infer", b"", **key)
        assert (status, list(told)) == (400, ["error"])
        assert (await app.ask("GET", "/v2/models/finches/versions/1", **key))[0] == 404
        assert (await app.ask("GET", "/v2/models/finches", **key))[2]["name"] == "finches"
        assert "model_repository" in (await app.ask("GET", "/v2", **key))[2]["extensions"]
        assert len((await app.ask("POST", "/v2/repository/index", **key))[2]) == 1
        assert (await app.ask("POST", "/v2/repository/models/gulls/load", **key))[0] == 404
        status, _, told = await app.ask("POST", "/v2/repository/models/finches/load", **key)
        assert (status, "old bundle stays" in told["error"]) == (409, True)  # there is none where it should lie
        assert (await app.ask("GET", "/nowhere", **key))[::2] == (404, {"error": "Not Found"})
        assert (await app.ask("POST", "/predict?top=x", b"", **key))[0] == 400

    run(bundle, test, api_key=ApiKey(KEY, "key"))
