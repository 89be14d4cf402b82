"""The command `serve`: a verified bundle behind HTTP."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporters.core.errors import UnavailableError
from exporters.core.limits import MAX_PIXELS
from pipeline.commands.options import BUNDLE, PATH, PRECISION, PROVIDER

if TYPE_CHECKING:
    from exporters.runtimes import Provider

_POSITIVE = click.IntRange(min=1)
LEAST_WINDOW, MOST_WINDOW = 100, 100_000
"""Of `exporters.drift`, which takes numpy along."""


def _long_enough(_context: click.Context, _option: click.Parameter, window: int) -> int:
    if 0 < window < LEAST_WINDOW:
        raise click.BadParameter(f"{window} is neither 0 nor {LEAST_WINDOW} or more.")
    return window


@click.command()
@BUNDLE
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is open to all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 picks a free port.")
@PRECISION
@PROVIDER
@click.option(
    "--threads", type=_POSITIVE, help="Batches computed at once, one thread each; default: the number of cores."
)
@click.option(
    "--decoders", type=click.IntRange(min=0), help="Processes that decode images; default: the number of threads."
)
@click.option(
    "--decode-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Time for one image; then its decoder is killed and replaced.",
)
@click.option(
    "--decode-memory",
    type=click.IntRange(min=128),
    metavar="MIB",
    help="Memory of a decoder; default: what the largest image allowed may need.",
)
@click.option(
    "--max-batch", type=_POSITIVE, default=16, show_default=True, help="Most images in one call of the model."
)
@click.option(
    "--max-delay-ms",
    type=click.FloatRange(0, 1000),
    default=2.0,
    show_default=True,
    help="How long an image may wait to be batched with others while a thread is free.",
)
@click.option(
    "--queue", type=_POSITIVE, default=256, show_default=True, help="Most images in the server; beyond that, 503."
)
@click.option("--max-bytes", type=_POSITIVE, default=16 * 2**20, show_default=True, help="Largest request.")
@click.option(
    "--max-pixels", type=click.IntRange(1, MAX_PIXELS), default=25_000_000, show_default=True, help="Largest image."
)
@click.option(
    "--max-connections", type=_POSITIVE, default=512, show_default=True, help="Most connections; beyond that, 503."
)
@click.option(
    "--max-connections-per-client",
    type=_POSITIVE,
    default=256,
    show_default=True,
    help="As many from one client address; beyond that, 429. Behind a proxy, all come from its address.",
)
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65535),
    help="A port for health probes, metrics and /drift alone, which clients of --port cannot occupy; default: none.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for a request to arrive, and as many for its answer.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="How long to keep listening after SIGTERM.",
)
@click.option(
    "--api-key-file",
    type=PATH,
    metavar="FILE",
    help="File with the key that clients must send; default: the variable TMKD_API_KEY, else no key.",
)
@click.option(
    "--drift-window",
    type=click.IntRange(0, MOST_WINDOW),
    default=500,
    show_default=True,
    callback=_long_enough,
    help=f"Latest images to compare with validation's, where BUNDLE has drift.json; 0, or {LEAST_WINDOW} or more.",
)
@click.option(
    "--drift-psi",
    type=click.FloatRange(0, 100),
    default=0.2,
    show_default=True,
    help="Least population stability index of an alarm.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="info logs one line per request.",
)
def serve(
    bundle: Path,
    host: str,
    port: int,
    precision: str,
    provider: "Provider",
    threads: int | None,
    decoders: int | None,
    decode_seconds: float,
    decode_memory: int | None,
    max_batch: int,
    max_delay_ms: float,
    queue: int,
    max_bytes: int,
    max_pixels: int,
    max_connections: int,
    max_connections_per_client: int,
    admin_port: int | None,
    timeout: float,
    drain_seconds: float,
    api_key_file: Path | None,
    drift_window: int,
    drift_psi: float,
    log_level: str,
) -> None:
    """Serve BUNDLE over HTTP, once it is verified.

    Open Inference Protocol v2, and POST /predict for image files. On SIGTERM, requests in progress are answered
    before the server ends; on SIGHUP, BUNDLE is read again and takes over once it is verified. Logs are JSON lines on
    standard error. Exits with 3 where BUNDLE does not pass.
    """
    try:
        from exporters.serving.server import serve as run_server
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("exporters", "pipeline"):
            raise
        raise UnavailableError(
            f"the server needs the package {package}, which is not installed",
            remedy="pip install 'tmkd-pipeline[serve]'",
        ) from error
    from exporters.benchmark.machine import cores
    from exporters.serving.security import read_api_key
    from exporters.serving.settings import ServeSettings

    threads = threads or cores()
    if decoders is None:
        decoders = 0 if sys.platform == "win32" else threads  # no socket pairs and limits there
    run_server(
        ServeSettings(
            bundle=bundle,
            precision=precision,
            provider=provider,
            threads=threads,
            decoders=decoders,
            decode_seconds=decode_seconds,
            decode_memory=None if decode_memory is None else decode_memory * 2**20,
            host=host,
            port=port,
            max_batch=max_batch,
            max_delay=max_delay_ms / 1e3,
            queue=queue,
            max_bytes=max_bytes,
            max_pixels=max_pixels,
            max_connections=max_connections,
            max_connections_per_client=max_connections_per_client,
            admin_port=admin_port,
            timeout=timeout,
            drain=drain_seconds,
            api_key=read_api_key(api_key_file),
            drift_window=drift_window,
            drift_psi=drift_psi,
            log_level=log_level,
        )
    )
