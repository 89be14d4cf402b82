"""State that all routes share: settings, model, queue, threads and metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from exporters.serving.batching import Batcher, Predict
from exporters.serving.limits import Admission, Bodies
from exporters.serving.metrics import Metrics
from exporters.serving.model import LoadedBundle, ModelHolder, load_bundle
from exporters.serving.problems import RequestError
from exporters.serving.settings import ServeSettings

T = TypeVar("T")


class Service:
    """The state of one server.

    Args:
        settings: of the server.
        bundle: the first one to answer.
    """

    holder: ModelHolder

    def __init__(self, settings: ServeSettings, bundle: LoadedBundle) -> None:
        self.settings = settings
        self.metrics = Metrics(max_batch=settings.max_batch, queue=settings.queue)
        self.bodies = Bodies(settings.max_bytes, settings.timeout)
        self.admission = Admission(settings.queue, self.metrics.queue)
        self.draining = False
        self._first = bundle
        self._preparing = ThreadPoolExecutor(settings.threads, "prepare")
        self._computing = ThreadPoolExecutor(settings.threads, "compute")
        self._reloading = ThreadPoolExecutor(1, "reload")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer requests within the block; to be entered in the event loop that handles them."""
        settings = self.settings
        load = partial(load_bundle, settings.bundle, settings.precision, settings.provider)
        self.holder = ModelHolder(load, self._reloading, self._batcher, self.metrics.bundle)
        self.holder.put(self._first)
        try:
            yield
        finally:
            for pool in (self._preparing, self._computing, self._reloading):
                pool.shutdown(wait=True, cancel_futures=True)

    def _batcher(self, predict: Predict) -> Batcher:
        settings = self.settings
        return Batcher(
            predict,
            self._computing,
            parallel=settings.threads,
            max_batch=settings.max_batch,
            max_delay=settings.max_delay,
            observe=self.metrics.batch,
        )

    async def prepare(self, work: Callable[..., T], *arguments: object) -> T:
        """Decode or parse in a thread, so that other requests do not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._preparing, work, *arguments)

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Limit the time of the computation for one request.

        Raises:
            RequestError: 504.
        """
        try:
            async with asyncio.timeout(self.settings.timeout):
                yield
        except TimeoutError as error:
            raise RequestError(504, f"not computed within {self.settings.timeout:g} s") from error
