"""Dynamic batching: images of several requests in one call of the model."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Job:
    images: np.ndarray
    answer: asyncio.Future[np.ndarray]
    deadline: float


class Batcher:
    """Collects images into batches, in the order of arrival, and computes them in threads.

    A batch starts when a thread is free and the batch is full, or its first image has waited long enough. While all
    threads are busy, images wait without regard to the delay; that is where large batches come from.

    All methods are called in the event loop.

    Args:
        predict: uint8 `[B, H, W, 3]` to float32 `[B, K]`; called in `executor`.
        executor: threads to compute in.
        parallel: how many batches at once.
        max_batch: images in one.
        max_delay: seconds that the first image of a batch may wait for others while a thread is free.
        observe: told the number of images and the seconds of each batch that was computed.
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
        self._waiting: deque[_Job] = deque()
        self._images = 0
        self._timer: asyncio.TimerHandle | None = None

    async def logits(self, images: np.ndarray) -> np.ndarray:
        """Uint8 `[n, H, W, 3]`, n of 1 or more, to float32 `[n, K]`; more than `max_batch` images make several batches.

        A caller that is cancelled while it waits costs nothing.
        """
        if len(images) <= self._max_batch:
            return await self._submit(images)
        starts = range(0, len(images), self._max_batch)
        parts = [self._submit(images[start : start + self._max_batch]) for start in starts]
        return np.concatenate(await asyncio.gather(*parts))

    def _submit(self, images: np.ndarray) -> asyncio.Future[np.ndarray]:
        job = _Job(images, self._loop.create_future(), self._loop.time() + self._max_delay)
        self._waiting.append(job)
        self._images += len(images)
        self._start()
        return job.answer

    def _start(self) -> None:
        """Start the batches whose time has come, and wake up for the next one."""
        while self._free and self._waiting:
            if self._images < self._max_batch and (late := self._waiting[0].deadline - self._loop.time()) > 0:
                if self._timer is None:
                    self._timer = self._loop.call_later(late, self._ring)
                return
            jobs = self._take()
            if jobs:
                self._free -= 1
                self._loop.create_task(self._compute(jobs))

    def _ring(self) -> None:
        self._timer = None
        self._start()

    def _take(self) -> list[_Job]:
        """The jobs of the next batch; those that nobody waits for any more are thrown away."""
        jobs: list[_Job] = []
        count = 0
        while self._waiting and count + len(self._waiting[0].images) <= self._max_batch:
            job = self._waiting.popleft()
            self._images -= len(job.images)
            if not job.answer.done():
                jobs.append(job)
                count += len(job.images)
        return jobs

    async def _compute(self, jobs: list[_Job]) -> None:
        started = self._loop.time()
        try:
            images = jobs[0].images if len(jobs) == 1 else np.concatenate([job.images for job in jobs])
            logits = await self._loop.run_in_executor(self._executor, self._predict, images)
        except Exception as error:  # whatever a runtime raises belongs to those who wait
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_exception(error)
        else:
            self._observe(len(images), self._loop.time() - started)
            start = 0
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_result(logits[start : start + len(job.images)])
                start += len(job.images)
        finally:
            self._free += 1
            self._start()
