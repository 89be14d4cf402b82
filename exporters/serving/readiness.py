"""Whether the model can compute: calls that fail, and calls that never end."""

import threading
import time

import numpy as np

from exporters.serving.batching import Predict


class ModelHealth:
    """Watches the calls of all models that are served, which share their threads.

    Args:
        threads: that compute; when so many calls are late, nothing can be computed.
        seconds: after which a call is late.
    """

    def __init__(self, threads: int, seconds: float) -> None:
        self._threads = threads
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: dict[object, float] = {}
        self.failing = False
        """Whether the call that ended last failed."""

    def watched(self, predict: Predict) -> Predict:
        """The same function, watched; called in the threads that compute."""

        def watched_predict(images: np.ndarray) -> np.ndarray:
            call = object()
            with self._lock:
                self._running[call] = time.monotonic()
            failed = True
            try:
                logits = predict(images)
                failed = False
            finally:
                with self._lock:
                    del self._running[call]
                    self.failing = failed
            return logits

        return watched_predict

    @property
    def stalled(self) -> bool:
        """Whether every thread has computed one batch for too long."""
        late = time.monotonic() - self._seconds
        with self._lock:
            return sum(since < late for since in self._running.values()) >= self._threads
