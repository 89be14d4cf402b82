import asyncio
import threading
import time

import numpy as np
import pytest

from exporters.serving.model import LoadedBundle
from exporters.serving.readiness import ModelHealth
from tests.exporters.serving.app import App, run, with_logits

IMAGES = np.zeros((1, 2, 2, 3), np.uint8)


def wait(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        time.sleep(0.005)


def test_model_is_failing_from_a_failed_call_to_the_next_that_succeeds() -> None:
    health = ModelHealth(1, 100)
    works = True

    def predict(images: np.ndarray) -> np.ndarray:
        if not works:
            raise RuntimeError("no")
        return images

    watched = health.watched(predict)
    assert watched(IMAGES) is IMAGES and not health.failing
    works = False
    with pytest.raises(RuntimeError):
        watched(IMAGES)
    assert health.failing and not health.stalled
    works = True
    watched(IMAGES)
    assert not health.failing


def test_model_is_stalled_while_every_thread_is_late() -> None:
    health = ModelHealth(2, 0.01)
    go = threading.Event()
    watched = health.watched(lambda images: (go.wait(60), images)[1])
    threads = [threading.Thread(target=watched, args=(IMAGES,)) for _ in range(2)]
    threads[0].start()
    time.sleep(0.05)
    assert not health.stalled
    threads[1].start()
    wait(lambda: health.stalled)
    go.set()
    for thread in threads:
        thread.join()
    assert not health.stalled


def test_ready_says_no_while_the_model_fails_and_recovers_by_itself(bundle: LoadedBundle) -> None:
    works = [False]

    def logits(images: np.ndarray) -> np.ndarray:
        if not works[0]:
            raise RuntimeError("the device is gone")
        return np.zeros((len(images), 7), np.float32)

    async def test(app: App) -> None:
        assert (await app.ask("GET", "/v2/health/ready"))[0] == 200
        size = bundle.student.preprocessing.size
        with pytest.raises(RuntimeError):
            await app.service.holder.current.batcher.logits(np.zeros((1, size, size, 3), np.uint8))
        for path in ("/v2/health/ready", f"/v2/models/{bundle.name}/ready"):
            assert (await app.ask("GET", path))[::2] == (
                503,
                {"ready": False} if "models" not in path else {"name": bundle.name, "ready": False},
            )
        assert (await app.ask("GET", "/v2/health/live"))[0] == 200
        works[0] = True
        while (await app.ask("GET", "/v2/health/ready"))[0] != 200:
            await asyncio.sleep(0.05)

    run(with_logits(bundle, logits), test)
