"""Inputs of the load test: versions of a bundle, one of which is wrong, and uploads that a server must refuse."""

import json
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from exporters.bundle.manifest import GOLDEN_OUTPUTS, MANIFEST, MODEL, SEAL, seal
from exporters.core.arrays import npz_bytes, read_npz
from exporters.core.files import dump_json, sha256_bytes, sha256_file


def reseal(bundle: Path, **changes: Any) -> str:
    """Update the manifest to the files in the folder, apply changes, and seal it; gives the version."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    for name, entry in manifest["files"].items():
        entry.update(sha256=sha256_file(bundle / name), size=(bundle / name).stat().st_size)
    data = dump_json({**manifest, **changes}).encode()
    (bundle / MANIFEST).write_bytes(data)
    (bundle / SEAL).write_bytes(seal(data))
    return sha256_bytes(data)[:12]


def make_versions(bundle: Path, folder: Path) -> dict[str, Path]:
    """The bundle, another version of it, and one that does not reproduce its golden vectors."""
    versions = {name: Path(shutil.copytree(bundle, folder / name)) for name in ("first", "second", "bad")}
    models = json.loads((bundle / MANIFEST).read_text())["models"]
    models[MODEL]["initializers"][0]["origin"] += ", of another version"  # what no other file says again
    reseal(versions["second"], models=models)
    golden = versions["bad"] / GOLDEN_OUTPUTS
    golden.write_bytes(npz_bytes("logits", read_npz(GOLDEN_OUTPUTS, golden.read_bytes(), "logits") + np.float32(1)))
    reseal(versions["bad"])
    return versions


def version(bundle: Path) -> str:
    """The version of a bundle, as the server states it."""
    return (bundle / SEAL).read_text()[:12]


def broken_uploads(photo: bytes) -> list[tuple[bytes, dict[str, str]]]:
    """Bodies and headers that must be refused: truncated, bombs, wrong type, too large, malformed forms."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def bomb(side: int) -> bytes:
        pixels = chunk(b"IDAT", zlib.compress(bytes(side * 100), 9))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)) + pixels

    def form(data: bytes, field: str = "file", name: str = "a.jpg") -> tuple[bytes, dict[str, str]]:
        head = f'--limit\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=limit"}
        return head.encode() + data + b"\r\n--limit--\r\n", kind

    path = "../../../../etc/passwd"
    return [
        (photo[: len(photo) // 2], {}),
        (photo[:20], {"Content-Type": "image/jpeg"}),
        (bomb(6_000), {}),
        (bomb(50_000), {}),
        (b"%PDF-1.7\n%%EOF", {"Content-Type": "application/pdf"}),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"Content-Type": "image/svg+xml"}),
        (b"", {}),
        (os.urandom(3000), {}),
        form(photo[:-100][: len(photo) // 3], name=path),
        form(photo, field=path),
        form(b"", name=path),
        (form(photo)[0][:-20], form(b"")[1]),
        (form(photo)[0], {"Content-Type": "multipart/form-data"}),
        (bytes(50_000_000), {"Content-Type": "image/jpeg"}),
    ]
