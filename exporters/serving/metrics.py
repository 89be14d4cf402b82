"""Metrics for Prometheus."""

from collections.abc import Collection

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from exporters.drift import STATISTICS, Look
from exporters.serving.model import LoadedBundle

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one server, in a registry of its own.

    Args:
        max_batch: images in the largest batch.
        queue: images that may be in the server.
    """

    def __init__(self, *, max_batch: int, queue: int) -> None:
        disable_created_metrics()  # they double the number of series and are hardly used
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "tmkd_requests", "Requests that were answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "tmkd_request_seconds", "From the headers to the answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self._batches = Histogram(
            "tmkd_batch_images",
            "Images in one call of the model.",
            buckets=[*(size for size in _IMAGES if size < max_batch), max_batch],
            registry=registry,
        )
        self._computing = Histogram("tmkd_batch_seconds", "One call of the model.", buckets=_SECONDS, registry=registry)
        self._queue = Gauge("tmkd_queue_images", "Images between admission and answer.", registry=registry)
        Gauge("tmkd_queue_capacity_images", "Beyond it, requests get 503.", registry=registry).set(queue)
        self._connections = Gauge("tmkd_connections", "Open connections of clients.", registry=registry)
        self._refusals = Counter(
            "tmkd_connections_refused",
            "Connections that were ended for what the client sent or did not send, or because there were too many.",
            ["status"],
            registry=registry,
        )
        self._reloads = Counter("tmkd_reloads", "Bundles that were loaded, or refused.", ["result"], registry=registry)
        self._decoders = Counter(
            "tmkd_decoders_lost",
            "Decoders that were killed at their time limit, ended, or could not be started.",
            ["reason"],
            registry=registry,
        )
        for reason in ("time", "ended", "start"):
            self._decoders.labels(reason)
        self._model = Gauge(
            "tmkd_model", "1 for the bundle that answers.", ["name", "version", "precision"], registry=registry
        )

        self._drift_watched = Gauge(
            "tmkd_drift_watched", "1 while images are compared with those of validation.", registry=registry
        )
        self._drift_images = Gauge(
            "tmkd_drift_images",
            "Images that were counted by the last look, since the bundle answers.",
            registry=registry,
        )
        names = ["statistic"]
        self._drift_psi = Gauge(
            "tmkd_drift_psi",
            "Population stability index of the latest images against validation.",
            names,
            registry=registry,
        )
        self._drift_p_value = Gauge("tmkd_drift_p_value", "P-value of the chi-square test.", names, registry=registry)
        self._drift_alarm = Gauge("tmkd_drift_alarm", "1 while the latest images differ.", names, registry=registry)
        self._drift_alarms = Counter("tmkd_drift_alarms", "Alarms that began.", names, registry=registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered; `route` is a pattern, which limits the number of series."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, images: int, seconds: float) -> None:
        """Count a batch that was computed."""
        self._batches.observe(images)
        self._computing.observe(seconds)

    def queue(self, images: int) -> None:
        """Set the number of images in the server."""
        self._queue.set(images)

    def connections(self, count: int) -> None:
        """Set the number of open connections."""
        self._connections.set(count)

    def refusal(self, status: int) -> None:
        """Count a connection that was ended by this status, or, with 0, without an answer."""
        self._refusals.labels(str(status) if status else "none").inc()

    def decoder_lost(self, reason: str) -> None:
        """Count a decoder that was lost: `time`, `ended` or `start`."""
        self._decoders.labels(reason).inc()

    def bundle(self, bundle: LoadedBundle | None) -> None:
        """Record the bundle that answers from now on; None: a reload was refused."""
        self._reloads.labels("refused" if bundle is None else "loaded").inc()
        if bundle is not None:
            self._model.clear()
            self._model.labels(bundle.name, bundle.version, bundle.precision).set(1)

    def drift_watched(self, watched: bool) -> None:
        """Begin anew, for another bundle."""
        self._drift_watched.set(watched)
        self._drift_images.set(0)
        for gauge in (self._drift_psi, self._drift_p_value, self._drift_alarm):
            gauge.clear()
        if watched:
            for name in STATISTICS:
                self._drift_alarm.labels(name).set(0)
                self._drift_alarms.labels(name)

    def drift(self, look: Look, began: Collection[str]) -> None:
        """Set what a look found; `began` are the statistics whose alarm is new."""
        self._drift_images.set(look.seen)
        for name, comparison in look.comparisons.items():
            self._drift_psi.labels(name).set(comparison.psi)
            self._drift_p_value.labels(name).set(comparison.p_value)
            self._drift_alarm.labels(name).set(look.alarms[name])
        for name in began:
            self._drift_alarms.labels(name).inc()

    def render(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
