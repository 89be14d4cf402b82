import logging

import numpy as np
import pytest

from exporters.serving.middleware import logger
from exporters.serving.model import LoadedBundle

from .app import App, run, with_logits
from .conftest import photo


def test_internal_error_is_logged_but_not_disclosed(bundle: LoadedBundle, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_images: np.ndarray) -> np.ndarray:
        raise RuntimeError("a secret of ours")

    async def test(app: App) -> None:
        status, headers, answer = await app.ask("POST", "/predict", photo(), x_request_id="seven")
        assert (status, answer) == (500, {"error": "internal error"})
        assert headers["x-request-id"] == "seven"
        status, _, _ = await app.ask("POST", "/predict", b"no image")
        assert status == 422
        assert app.service.admission.images == 0

    run(with_logits(bundle, fails), test)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info and "a secret of ours" in str(record.exc_info[1])
    assert vars(record)["request"] == "seven"


def test_disconnected_client_is_logged_with_499(bundle: LoadedBundle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger.name)

    async def test(app: App) -> None:
        assert (await app.ask("POST", "/predict", None))[0] == 499  # which nobody reads
        assert 'status="499"' in (await app.ask("GET", "/metrics"))[2].decode()

    run(bundle, test)
    assert [vars(record)["status"] for record in caplog.records if vars(record).get("event") == "request"] == [499, 200]


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
