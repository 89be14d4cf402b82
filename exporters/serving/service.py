"""State that all routes share: settings, model, queue, threads and metrics."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import numpy as np

from exporters.client import Student
from exporters.drift import DriftWindow
from exporters.serving.batching import Batcher, Predict
from exporters.serving.decoding.pool import DecodeLimits, DecodePool, default_memory
from exporters.serving.drift import DriftReports
from exporters.serving.limits import Admission, Bodies
from exporters.serving.metrics import Metrics
from exporters.serving.model import LoadedBundle, ModelHolder, load_bundle
from exporters.serving.problems import RequestError
from exporters.serving.readiness import ModelHealth
from exporters.serving.settings import ServeSettings
from exporters.serving.uploads import Upload, prepare_upload

T = TypeVar("T")
_PROBE_SECONDS = 1.0
"""How often a model that fails is tried again."""


class Service:
    """The state of one server.

    Args:
        settings: of the server.
        bundle: the first one to answer.
    """

    holder: ModelHolder
    decoders: DecodePool | None

    def __init__(self, settings: ServeSettings, bundle: LoadedBundle) -> None:
        self.settings = settings
        self.metrics = Metrics(max_batch=settings.max_batch, queue=settings.queue)
        self.bodies = Bodies(settings.max_bytes, settings.timeout)
        self.admission = Admission(settings.queue, self.metrics.queue)
        self.draining = False
        self.health = ModelHealth(settings.threads, settings.timeout)
        self._first = bundle
        self._preparing = ThreadPoolExecutor(settings.threads, "prepare")
        self._computing = ThreadPoolExecutor(settings.threads, "compute")
        self._reloading = ThreadPoolExecutor(1, "reload")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer requests within the block; to be entered in the event loop that handles them, in the main thread.

        At its end decoders are killed and threads are told to end; `threads_ended` says whether they have.
        """
        settings = self.settings
        memory = settings.decode_memory or default_memory(settings.max_pixels, settings.max_bytes)
        limits = DecodeLimits(settings.decoders, settings.decode_seconds, memory)
        self.decoders = DecodePool(limits, self.metrics.decoder_lost) if settings.decoders else None
        load = partial(load_bundle, settings.bundle, settings.precision, settings.provider)
        self.holder = ModelHolder(load, self._reloading, self._batcher, self.metrics.bundle, self._watch)
        self.holder.put(self._first)
        probing = asyncio.get_running_loop().create_task(self._probe())
        try:
            yield
        finally:
            probing.cancel()
            if self.decoders is not None:
                self.decoders.close()
            for pool in self._pools:
                pool.shutdown(wait=False, cancel_futures=True)

    async def start_decoders(self) -> None:
        """Start all decoders now rather than when they are first needed."""
        if self.decoders is not None:
            await self.decoders.start()

    def threads_ended(self, seconds: float) -> bool:
        """Wait so long for the threads to end, once `running` is left; false where one computes still."""
        end = time.monotonic() + seconds
        for thread in [thread for pool in self._pools for thread in pool._threads]:
            thread.join(max(end - time.monotonic(), 0))
            if thread.is_alive():
                return False
        return True

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here: not while it ends, and not while nothing can be decoded or computed."""
        decoding = self.decoders is None or not self.decoders.stalled
        return decoding and not (self.draining or self.health.failing or self.health.stalled)

    async def _probe(self) -> None:
        """Try a model that failed on an empty image, again and again: no client asks while `ready` says no."""
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            if self.health.failing and not self.health.stalled:
                model = self.holder.current
                size = model.student.preprocessing.size
                with suppress(Exception):  # it is failing still
                    await model.batcher.logits(np.zeros((1, size, size, 3), np.uint8))

    @property
    def _pools(self) -> tuple[ThreadPoolExecutor, ...]:
        return self._preparing, self._computing, self._reloading

    def _batcher(self, predict: Predict) -> Batcher:
        settings = self.settings
        return Batcher(
            self.health.watched(predict),
            self._computing,
            parallel=settings.threads,
            max_batch=settings.max_batch,
            max_delay=settings.max_delay,
            observe=self.metrics.batch,
        )

    def _watch(self, bundle: LoadedBundle) -> DriftWindow | None:
        """The window of a bundle that has begun to answer."""
        self.metrics.drift_watched(bundle.drift is not None and self.settings.drift_window > 0)
        if bundle.drift is None or not self.settings.drift_window:
            return None
        report = DriftReports(self.metrics.drift, bundle.version)
        return DriftWindow(bundle.drift, self.settings.drift_window, self.settings.drift_psi, report)

    async def prepare(self, work: Callable[..., T], *arguments: object) -> T:
        """Parse in a thread, so that other requests do not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._preparing, work, *arguments)

    async def decode(self, student: Student, body: bytes, content_type: str | None) -> Upload:
        """Decode the image of a body as `Student.prepare` does, in a decoder.

        Raises:
            RequestError: as `DecodePool.prepare`.
        """
        preprocessing, most = student.preprocessing, self.settings.max_pixels
        if self.decoders is None:
            return await self.prepare(prepare_upload, preprocessing, body, content_type, most)
        return await self.decoders.prepare(preprocessing, body, content_type, most)

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
