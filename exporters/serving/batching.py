"""Dynamic batching: the images of several requests in one call of the model."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Pending:
    """Images of one request that wait to be computed, the future of their logits, and when waiting ends."""

    images: np.ndarray
    answer: asyncio.Future[np.ndarray]
    deadline: float


class Batcher:
    """Collects images into batches in order of arrival, and computes the batches in threads.

    A batch starts when a thread is free and either the batch is full or its first image has waited for `max_delay`.
    While all threads are busy, images wait longer than that, and batches become larger.

    All methods are called in the event loop.

    Args:
        predict: uint8 `[B, H, W, 3]` to float32 `[B, K]`; called in `executor`.
        executor: the threads.
        parallel: batches that are computed at the same time.
        max_batch: most images in a batch.
        max_delay: seconds that the first image of a batch may wait for others while a thread is free.
        observe: called with the number of images and the seconds of each batch that was computed.
    """

    def __init__(
        self,
        predict: Predict,
        executor: Executor,
        *,
        parallel: int,
        max_batch: int,
        max_delay: float,
        observe: Callable[[int, float], None],
    ) -> None:
        self._predict = predict
        self._executor = executor
        self._free = parallel
        self._max_batch = max_batch
        self._max_delay = max_delay
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Pending] = deque()
        self._images = 0
        self._timer: asyncio.TimerHandle | None = None

    async def logits(self, images: np.ndarray) -> np.ndarray:
        """Uint8 `[n, H, W, 3]`, n of 1 or more, to float32 `[n, K]`; more than `max_batch` images make several batches.

        Images of a caller that is cancelled while it waits are not computed.
        """
        if len(images) <= self._max_batch:
            return await self._submit(images)
        starts = range(0, len(images), self._max_batch)
        parts = [self._submit(images[start : start + self._max_batch]) for start in starts]
        return np.concatenate(await asyncio.gather(*parts))

    def _submit(self, images: np.ndarray) -> asyncio.Future[np.ndarray]:
        request = _Pending(images, self._loop.create_future(), self._loop.time() + self._max_delay)
        self._waiting.append(request)
        self._images += len(images)
        self._start()
        return request.answer

    def _start(self) -> None:
        """Start the batches that are due, and set a timer for the next one."""
        while self._free and self._waiting:
            if self._images < self._max_batch and (late := self._waiting[0].deadline - self._loop.time()) > 0:
                if self._timer is None:
                    self._timer = self._loop.call_later(late, self._on_timer)
                return
            requests = self._take()
            if requests:
                self._free -= 1
                self._loop.create_task(self._compute(requests))

    def _on_timer(self) -> None:
        self._timer = None
        self._start()

    def _take(self) -> list[_Pending]:
        """Take the requests of the next batch from the queue, and drop those that were cancelled."""
        requests: list[_Pending] = []
        count = 0
        while self._waiting and count + len(self._waiting[0].images) <= self._max_batch:
            request = self._waiting.popleft()
            self._images -= len(request.images)
            if not request.answer.done():
                requests.append(request)
                count += len(request.images)
        return requests

    async def _compute(self, requests: list[_Pending]) -> None:
        started = self._loop.time()
        try:
            images = (
                requests[0].images if len(requests) == 1 else np.concatenate([request.images for request in requests])
            )
            logits = await self._loop.run_in_executor(self._executor, self._predict, images)
        except Exception as error:  # of the runtime: passed on to the requests of this batch
            for request in requests:
                if not request.answer.done():
                    request.answer.set_exception(error)
        else:
            self._observe(len(images), self._loop.time() - started)
            start = 0
            for request in requests:
                if not request.answer.done():
                    request.answer.set_result(logits[start : start + len(request.images)])
                start += len(request.images)
        finally:
            self._free += 1
            self._start()
