import threading

import numpy as np

from exporters.serving.model import LoadedBundle

from .app import App, run, with_logits
from .conftest import photo


def test_request_that_takes_too_long_gets_504(bundle: LoadedBundle) -> None:
    go = threading.Event()

    def waits(images: np.ndarray) -> np.ndarray:
        assert go.wait(60)
        return np.zeros((len(images), 7), np.float32)

    async def test(app: App) -> None:
        try:
            status, _, answer = await app.ask("POST", "/predict", photo())
        finally:
            go.set()
        assert (status, answer) == (504, {"error": "not computed within 0.5 s"})
        assert app.service.admission.images == 0

    run(with_logits(bundle, waits), test, timeout=0.5)
