"""The timing cache: kernel times measured once, so that the next engine on the same GPU is built sooner.

The file is one line of JSON (which TensorRT on which GPU, and the sha256 of the rest), then TensorRT's own bytes. A
file that does not fit or is damaged is never given to TensorRT: the build starts with an empty cache, and says so.
With TensorRT for RTX the cache changes nothing in the engine; it is read and written all the same.
"""

import json
from pathlib import Path
from typing import Any

from exporters.core.errors import UsageError
from exporters.core.files import open_regular, sha256_bytes, write_bytes
from exporters.core.process_state import no_warnings
from exporters.tensorrt.gpu import Gpu
from exporters.tensorrt.libraries import Library

_FORMAT = "tmkd-timing-cache/1"
_MOST_BYTES = 2**30


def _header(library: Library, gpu: Gpu | None, payload: bytes) -> dict[str, str]:
    return {
        "format": _FORMAT,
        "library": library.name,
        "version": library.version,
        "gpu": gpu.name if gpu else "",
        "sha256": sha256_bytes(payload),
    }


def load(path: Path, library: Library, gpu: Gpu | None) -> tuple[bytes, str]:
    """Bytes for `IBuilderConfig.create_timing_cache`, empty for a new cache, and one of these words for what happened.

    `new` (there was no file), `reused`, `replaced: damaged`, `replaced: of another TensorRT or GPU`.

    Raises:
        UsageError: the path is a folder or cannot be read.
    """
    try:
        with open_regular(path) as stream:
            data = stream.read(_MOST_BYTES)
    except FileNotFoundError:
        return b"", "new"
    except OSError as error:
        raise UsageError(f"tensorrt.timing_cache: {path} cannot be read ({error.strerror})") from error
    line, _, payload = data.partition(b"\n")
    try:
        header = json.loads(line)
    except ValueError:
        return b"", "replaced: damaged"
    if not isinstance(header, dict) or header.get("sha256") != sha256_bytes(payload):
        return b"", "replaced: damaged"
    if header != _header(library, gpu, payload):
        return b"", "replaced: of another TensorRT or GPU"
    return payload, "reused"


def attach(config: Any, payload: bytes) -> bool:
    """Give a builder configuration its cache; False where TensorRT does not take these bytes."""
    with no_warnings():  # TensorRT for RTX says that its cache is deprecated
        cache = config.create_timing_cache(payload)
        return cache is not None and bool(config.set_timing_cache(cache, False))


def store(path: Path, config: Any, library: Library, gpu: Gpu | None) -> None:
    """Write what the build left in its cache, atomically."""
    with no_warnings():  # TensorRT for RTX says that its cache is deprecated
        cache = config.get_timing_cache()
        payload = bytes(cache.serialize())
    header = json.dumps(_header(library, gpu, payload), sort_keys=True)
    write_bytes(path, header.encode() + b"\n" + payload)
