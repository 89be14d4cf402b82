import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from exporters.serving.batching import Batcher


class Model:
    """Answers with the first pixel of each image, and waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(images[:, 0, 0, 0].tolist())
        assert self.go.wait(30)
        if 255 in self.batches[-1]:
            raise ValueError("255")
        return images[:, 0, 0, :2].astype(np.float32)


def images(*values: int) -> np.ndarray:
    return np.stack([np.full((2, 2, 3), value, np.uint8) for value in values])


def run(test: Callable[[Batcher, Model], Awaitable[None]], max_delay: float = 0.0, **settings: Any) -> list[Any]:
    observed: list[Any] = []
    model = Model()

    async def main() -> None:
        batcher = Batcher(
            model.predict,
            pool,
            max_delay=max_delay,
            observe=lambda count, _seconds: observed.append(count),
            **{"parallel": 1, "max_batch": 4, **settings},
        )
        await test(batcher, model)

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(main())
    return observed


async def begun(model: Model, batches: int) -> None:
    while len(model.batches) < batches:
        await asyncio.sleep(0.001)


def test_images_that_wait_for_a_thread_become_batches_in_order() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        tasks = [asyncio.create_task(batcher.logits(images(0)))]
        await begun(model, 1)
        tasks += [asyncio.create_task(batcher.logits(images(value))) for value in range(1, 8)]
        await asyncio.sleep(0)
        model.go.set()
        for value, logits in enumerate(await asyncio.gather(*tasks)):
            np.testing.assert_array_equal(logits, [[value, value]])
        assert model.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]

    assert run(test) == [1, 4, 3]


def test_a_free_thread_waits_for_a_full_batch_and_no_longer() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        model.go.set()
        await asyncio.gather(*(batcher.logits(images(value)) for value in range(4)))
        assert model.batches == [[0, 1, 2, 3]]
        one = asyncio.create_task(batcher.logits(images(9)))
        await asyncio.sleep(0.001)
        assert len(model.batches) == 1
        one.cancel()

    run(test, max_delay=3600)


def test_incomplete_batch_runs_after_the_delay() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        model.go.set()
        first, second = await asyncio.gather(batcher.logits(images(1)), batcher.logits(images(2, 3)))
        assert (first.shape, second.shape) == ((1, 2), (2, 2))
        assert model.batches == [[1, 2, 3]]

    run(test, max_delay=0.01)


def test_large_request_is_split_into_batches() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        model.go.set()
        logits = await batcher.logits(images(*range(10)))
        np.testing.assert_array_equal(logits[:, 0], range(10))
        assert [len(batch) for batch in model.batches] == [4, 4, 2]

    run(test)


def test_small_requests_are_not_split() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        tasks = [asyncio.create_task(batcher.logits(images(*values))) for values in ((0,), (1, 2, 3), (4, 5), (6,))]
        await asyncio.sleep(0)
        model.go.set()
        await asyncio.gather(*tasks)
        assert sorted(value for batch in model.batches for value in batch) == list(range(7))
        assert all(len(batch) <= 4 for batch in model.batches)
        assert any({4, 5} <= set(batch) for batch in model.batches)

    run(test)


def test_cancelled_request_is_dropped_from_batch() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        first = asyncio.create_task(batcher.logits(images(0)))
        await begun(model, 1)
        left = asyncio.create_task(batcher.logits(images(1)))
        stays = asyncio.create_task(batcher.logits(images(2)))
        await asyncio.sleep(0)
        left.cancel()
        first.cancel()
        await asyncio.sleep(0)
        model.go.set()
        np.testing.assert_array_equal(await stays, [[2, 2]])
        assert model.batches == [[0], [2]]

    run(test)


def test_an_error_of_the_model_reaches_its_batch_alone() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        model.go.set()
        with pytest.raises(ValueError, match="255"):
            await batcher.logits(images(255))
        np.testing.assert_array_equal(await batcher.logits(images(5)), [[5, 5]])

    assert run(test) == [1]


def test_batches_run_in_parallel() -> None:
    async def test(batcher: Batcher, model: Model) -> None:
        tasks = [asyncio.create_task(batcher.logits(images(value))) for value in range(3)]
        await begun(model, 2)
        model.go.set()
        await asyncio.gather(*tasks)

    run(test, parallel=2, max_batch=1)
