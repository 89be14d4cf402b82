"""Settings of a server."""

from dataclasses import dataclass, field
from pathlib import Path

from exporters.runtimes import Provider
from exporters.serving.security import ApiKey

MEBIBYTE = 2**20


@dataclass(frozen=True)
class ServeSettings:
    """Settings of a server; the defaults are those of the command `serve`, which takes as many threads as cores.

    Args:
        bundle: the folder; read again on a reload.
        precision: which of the bundle's models is served.
        provider: of ONNX Runtime; never silently another one.
        threads: how many batches are computed at once, and how many requests parsed; each by one thread.
        decoders: processes that decode images; 0 decodes in `threads` threads of the server, without limits of time and
            memory, and without a protection from what ends a process.
        decode_seconds: for one image, after which its decoder is killed.
        decode_memory: bytes of data of each decoder; None: what the largest image allowed may need.
        host, port: where to listen; port 0 takes a free one.
        max_batch: images in one call of the model.
        max_delay: seconds that the first image of a batch may wait for others while a thread is free.
        queue: images that are being decoded, wait or are being computed; beyond it, requests are refused with 503.
        max_bytes: of one request's body.
        max_pixels: of one image, checked before it is decoded; at most `exporters.core.limits.MAX_PIXELS`.
        max_connections: beyond that, probes alone are answered, and everything else is refused with 503.
        max_connections_per_client: of one client address; beyond that, the same with 429.
        admin_port: where probes, metrics and `/drift` are answered whatever happens on `port`; None: no such port.
        timeout: seconds for a request to arrive, and again for its answer to be computed.
        drain: seconds between SIGTERM and the end of listening; requests that arrive meanwhile are answered.
        api_key: the key that clients must send; None: no key is needed.
        drift_window: the images that are compared with those of validation; 0: none.
        drift_psi: the least population stability index of an alarm.
        log_level: the least severe messages that are logged.
    """

    bundle: Path
    precision: str = "fp32"
    provider: Provider = "cpu"
    threads: int = 1
    decoders: int = 1
    decode_seconds: float = 10.0
    decode_memory: int | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    max_batch: int = 16
    max_delay: float = 0.002
    queue: int = 256
    max_bytes: int = 16 * MEBIBYTE
    max_pixels: int = 25_000_000
    max_connections: int = 512
    max_connections_per_client: int = 256
    admin_port: int | None = None
    timeout: float = 30.0
    drain: float = 1.0
    api_key: ApiKey | None = field(default=None, repr=False)
    drift_window: int = 500
    drift_psi: float = 0.2
    log_level: str = "info"
