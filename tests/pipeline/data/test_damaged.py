"""Hundreds of damaged images among good ones: each is named or left out, and memory stays bounded."""

import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.conftest import REPOSITORY, run_command, set_, write_recipe

MEGABYTES = 900
"""Far above what is needed (Python, numpy and Pillow, and an image in each of two threads); the bombs are gigabytes."""


def image_bytes(random: np.random.Generator, kind: str) -> bytes:
    side = int(random.integers(20, 60))
    stream = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()


def png_of(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


@cache
def black_png(width: int, height: int) -> bytes:
    """A whole PNG of black pixels, about a thousandth of their size."""
    packer = zlib.compressobj(1)
    return png_of(
        width, height, b"".join(packer.compress(bytes(1 + 3 * width)) for _ in range(height)) + packer.flush()
    )


ZEROS = zlib.compress(bytes(100_000), 9)


def flipped(data: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def damaged(random: np.random.Generator, number: int) -> tuple[str, bytes, bool | None]:
    """A file: its suffix, its bytes, and whether it can be read; None where that is not known by construction."""
    position, bit = int(random.integers(0, 2**31)), int(random.integers(0, 8))
    png, jpeg, tiff = (image_bytes(random, kind) for kind in ("PNG", "JPEG", "TIFF"))
    kinds: list[tuple[str, bytes, bool | None]] = [
        (".png", flipped(png, position % 8, bit), False),  # the signature
        (".png", flipped(png, 16 + position % 13, bit), False),  # the header, which has a checksum
        (".png", flipped(png, 41 + position % 2, bit), False),  # the header of the deflate stream, which checks itself
        (".jpg", flipped(jpeg, position % 2, bit), False),  # the marker that every JPEG begins with
        (".png", png[: 60 + position % (len(png) // 2)], False),
        (".jpg", jpeg[: len(jpeg) // 3 + position % (len(jpeg) // 4)], False),
        (".webp", image_bytes(random, "WEBP")[: 40 + position % 100], False),
        (".png", b"", False),
        (".jpg", b"\0" + random.bytes(position % 5000), False),
        (".gif", b"GIF89a" + b"\xff\xff\xff\xff" + random.bytes(20), False),  # 65535 x 65535
        (".png", png_of(30_000, 30_000, ZEROS), False),
        (".png", black_png(8_125, 8_000), False),
        (".bmp", b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0) + bytes(60), False),
        (".jpg", png, True),  # another suffix
        (".png", jpeg, True),
        (".jpeg", b"a text that is no image\n" * 20, False),
        (".png", flipped(png, position % len(png), bit), None),
        (".jpg", flipped(jpeg, position % len(jpeg), bit), None),
        (".tiff", flipped(tiff, position % len(tiff), bit), None),
        (".jpg", flipped(flipped(jpeg, 200 + position % 300, bit), 30 + position % 100, 7 - bit), None),
    ]
    return kinds[number % len(kinds)]


def plain_pillow_reads(data: bytes) -> bool:
    """What is known of a file independently of the project's code."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > 64_000_000:
                return False
            image.load()
            image.convert("RGB")
    except Exception:
        return False
    return True


def write_data(root: Path, count: int) -> list[str]:
    """Good images, and `count` that are damaged; returns those that cannot be read, sorted."""
    random = np.random.default_rng(count)
    for split in ("train", "test"):
        for name in ("teal", "smew"):
            (root / split / name).mkdir(parents=True)
            for i in range(6):
                (root / split / name / f"good{i}.png").write_bytes(image_bytes(random, "PNG"))
    (root / "train" / "teal" / "large.png").write_bytes(black_png(7_900, 8_000))  # just small enough
    broken = []
    for number in range(count):
        suffix, data, readable = damaged(random, number)
        path = root / ("train" if number % 3 else "test") / ("teal" if number % 2 else "smew") / f"{number:03}{suffix}"
        path.write_bytes(data)
        if not (plain_pillow_reads(data) if readable is None else readable):
            broken.append(path.relative_to(root).as_posix())
    return sorted(broken)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
def test_damaged_images_are_left_out_or_named(tmp_path: Path) -> None:
    root, count = tmp_path / "data", 500
    broken = write_data(root, count)
    assert len(broken) > count * 0.7
    recipe = write_recipe(tmp_path / "tiny.yaml", root)
    arguments = [
        *("run", recipe, "--until", "data", "--run-dir", tmp_path / "run"), *set_({"data.on_leak": "drop"})
    ]  # fmt: skip
    outcome = run_command(*arguments)
    assert outcome.code == 4 and "Traceback" not in outcome.err
    # Splits and folders are read in order: train before test, smew before teal.
    first = min(broken, key=lambda path: (not path.startswith("train/"), path))
    assert str(root / first) in outcome.err and f"and {len(broken) - 1} more cannot be used" in outcome.err

    # Not getrusage: a process begins with the peak of the one that started it.
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom pipeline.__main__ import main\ntry:\n    main()\nfinally:\n"
        "    print(re.findall(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[0], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments), "--set", "data.on_error=skip"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore", "CI": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    index = json.loads((tmp_path / "run" / "data" / "index.json").read_text())
    assert sorted(file["path"] for file in index["skipped"]) == broken
    assert all(file["reason"].startswith(f"{root / file['path']}: ") for file in index["skipped"])
    assert f"{len(broken)} unreadable images were left out" in done.stdout
    assert int(done.stderr.split()[-1]) / 1024 < MEGABYTES
