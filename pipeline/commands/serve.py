"""The command `serve`: a verified bundle behind HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporters.core.errors import UnavailableError
from exporters.core.limits import MAX_PIXELS
from pipeline.commands.options import BUNDLE, PATH, PRECISION, PROVIDER

if TYPE_CHECKING:
    from exporters.runtimes import Provider

_POSITIVE = click.IntRange(min=1)


@click.command()
@BUNDLE
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is open to all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@PRECISION
@PROVIDER
@click.option("--threads", type=_POSITIVE, help="Batches at once, each by one thread; default: as many as cores.")
@click.option("--max-batch", type=_POSITIVE, default=16, show_default=True, help="Images in one call of the model.")
@click.option(
    "--max-delay-ms",
    type=click.FloatRange(0, 1000),
    default=2.0,
    show_default=True,
    help="How long an image may wait for others while a thread is free.",
)
@click.option("--queue", type=_POSITIVE, default=256, show_default=True, help="Images in the server; beyond that, 503.")
@click.option("--max-bytes", type=_POSITIVE, default=16 * 2**20, show_default=True, help="Of one request.")
@click.option(
    "--max-pixels", type=click.IntRange(1, MAX_PIXELS), default=25_000_000, show_default=True, help="Of one image."
)
@click.option("--max-connections", type=_POSITIVE, default=512, show_default=True, help="Beyond that, 503.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for a request to arrive, and again for its answer.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Between SIGTERM and the end of listening.",
)
@click.option(
    "--api-key-file",
    type=PATH,
    metavar="FILE",
    help="Clients must show this key; default: the variable TMKD_API_KEY, else none.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="info has a line for each request.",
)
def serve(
    bundle: Path,
    host: str,
    port: int,
    precision: str,
    provider: "Provider",
    threads: int | None,
    max_batch: int,
    max_delay_ms: float,
    queue: int,
    max_bytes: int,
    max_pixels: int,
    max_connections: int,
    timeout: float,
    drain_seconds: float,
    api_key_file: Path | None,
    log_level: str,
) -> None:
    """Serve BUNDLE over HTTP, once it is verified.

    Open Inference Protocol v2, and POST /predict for image files. SIGTERM answers what is under way and ends;
    SIGHUP reads BUNDLE again and lets it answer once it was proved. Logs are JSON lines on standard error.
    """
    try:
        from exporters.serving.server import serve as run_server
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("exporters", "pipeline"):
            raise
        raise UnavailableError(
            f"the package {package} is not installed, which the server needs",
            remedy="pip install 'tmkd-pipeline[serve]'",
        ) from error
    from exporters.benchmark.machine import cores
    from exporters.serving.security import read_api_key
    from exporters.serving.settings import ServeSettings

    run_server(
        ServeSettings(
            bundle=bundle,
            precision=precision,
            provider=provider,
            threads=threads or cores(),
            host=host,
            port=port,
            max_batch=max_batch,
            max_delay=max_delay_ms / 1e3,
            queue=queue,
            max_bytes=max_bytes,
            max_pixels=max_pixels,
            max_connections=max_connections,
            timeout=timeout,
            drain=drain_seconds,
            api_key=read_api_key(api_key_file),
            log_level=log_level,
        )
    )
