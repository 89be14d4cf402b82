"""Small data sets of noise, in the real layouts of sets that keep many images in one file."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.data.stores import pickled
from tests.pipeline.data.conftest import write_image

CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
CIFAR10_NAMES = ("airplane", "automobile", "bird")
CIFAR100_NAMES = ("apple", "aquarium_fish", "baby")
STL10_NAMES = ("airplane", "bird", "car")


def noise(seed: int, count: int, side: int) -> np.ndarray:
    """Pixels as they are seen: uint8 `[count, side, side, 3]`."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def planes(pixels: np.ndarray) -> np.ndarray:
    """The same as CIFAR's files have them: `[count, 3072]`, red, green and blue plane, each row by row."""
    return np.stack([pixels[..., channel].reshape(len(pixels), -1) for channel in range(3)], axis=1).reshape(
        len(pixels), -1
    )


def labels_of(count: int, classes: int) -> np.ndarray:
    return np.arange(count) % classes


def write_cifar10(root: Path, count: int = 6) -> dict[str, np.ndarray]:
    """The binary version, `count` images in each file; gives the pixels of each."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "batches.meta.txt").write_text("\n".join([*CIFAR10_NAMES, "", ""]))
    pixels = {}
    for seed, stem in enumerate(CIFAR10_FILES):
        pixels[stem] = noise(seed, count, 32)
        labels = labels_of(count, 3).astype(np.uint8)[:, None]
        (folder / f"{stem}.bin").write_bytes(np.hstack([labels, planes(pixels[stem])]).tobytes())
    return pixels


def write_cifar100(root: Path, count: int = 9) -> dict[str, np.ndarray]:
    """The binary version: a coarse label, which is of no use here, then the fine one."""
    folder = root / "cifar-100-binary"
    folder.mkdir(parents=True)
    (folder / "fine_label_names.txt").write_text("\n".join(CIFAR100_NAMES) + "\n")
    pixels = {}
    for seed, stem in enumerate(("train", "test")):
        pixels[stem] = noise(10 + seed, count, 32)
        fine = labels_of(count, 3).astype(np.uint8)[:, None]
        (folder / f"{stem}.bin").write_bytes(np.hstack([fine + 7, fine, planes(pixels[stem])]).tobytes())
    return pixels


def write_stl10(root: Path, count: int = 6) -> dict[str, np.ndarray]:
    """96 px images, each plane column by column, labels from 1."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text("\n".join(STL10_NAMES) + "\n")
    (folder / "unlabeled_X.bin").write_bytes(bytes(2 * 3 * 96 * 96))
    pixels = {}
    for seed, stem in enumerate(("train", "test")):
        pixels[stem] = noise(20 + seed, count, 96)
        columns = np.stack([[image[:, :, channel].T for channel in range(3)] for image in pixels[stem]])
        (folder / f"{stem}_X.bin").write_bytes(np.ascontiguousarray(columns).tobytes())
        (folder / f"{stem}_y.bin").write_bytes((labels_of(count, 3) + 1).astype(np.uint8).tobytes())
    return pixels


def encoded(seed: int, kind: str = "PNG", side: int = 20) -> bytes:
    """An image file."""
    stream = io.BytesIO()
    Image.fromarray(noise(seed, 1, side)[0]).save(stream, kind)
    return stream.getvalue()


def write_shard(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A tar file of small files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def samples(seed: int, count: int, classes: int = 3, first: int = 0) -> list[tuple[str, bytes]]:
    """Members of a shard: PNG, JPEG and WebP in turn, each with a `.cls`."""
    members = []
    for number in range(first, first + count):
        kind = ("PNG", "JPEG", "WEBP")[number % 3]
        suffix = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[kind]
        members.append((f"{number:06}.{suffix}", encoded(seed + number, kind)))
        members.append((f"{number:06}.cls", str(number % classes).encode()))
    return members


def write_shards(root: Path) -> Path:
    """Two shards of training and one of test, with class names."""
    write_shard(root / "train-000000.tar", samples(0, 6))
    write_shard(root / "train-000001.tar", samples(100, 6, first=6))
    write_shard(root / "test-000000.tar", samples(200, 3))
    (root / "classes.txt").write_text("wood_duck\nteal\nsmew\n")
    return root


def write_mnist(root: Path, count: int = 20) -> dict[str, np.ndarray]:
    """The unpacked files of MNIST where torchvision looks for them; ten classes."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = {}
    for seed, (split, stem) in enumerate((("train", "train"), ("test", "t10k"))):
        pixels[split] = noise(30 + seed, count, 28)[..., 0]
        header = np.array([0x803, count, 28, 28], dtype=">i4").tobytes()
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(header + pixels[split].tobytes())
        header = np.array([0x801, count], dtype=">i4").tobytes()
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(header + labels_of(count, 10).astype(np.uint8).tobytes())
    return pixels


def write_pickled_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch, protocol: int = 2) -> Path:
    """CIFAR-10's pickles of the images of `write_cifar10`, taken for the published ones."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    contents = {
        stem: {b"data": planes(noise(seed, 6, 32)), b"labels": labels_of(6, 3).tolist(), b"batch_label": b"a batch"}
        for seed, stem in enumerate(CIFAR10_FILES)
    }
    contents["batches.meta"] = {b"label_names": [name.encode() for name in CIFAR10_NAMES], b"num_vis": 3072}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    publish_checksums(folder, monkeypatch)
    return folder


def publish_checksums(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setitem(pickled.PUBLISHED, "cifar10", sums)


def write_dtd(root: Path) -> Path:
    labels = root / "dtd" / "dtd" / "labels"
    labels.mkdir(parents=True)
    for seed, split in enumerate(("train", "val", "test")):
        names = [f"{name}/{name}_{split}_{i}.jpg" for name in ("banded", "wavy_lines") for i in range(2)]
        (labels / f"{split}1.txt").write_text("\n".join(names) + "\n")
        for i, name in enumerate(names):
            write_image(root / "dtd" / "dtd" / "images" / name, 10 * seed + i)
    return root


def rows_of_images(count: int, seed: int, **columns: Any) -> Any:
    """Rows of encoded images with the labels 0, 1, 0, …"""
    import datasets

    kinds = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["teal", "wood_duck"]),
        **{name: kind for name, (kind, _) in columns.items()},
    }
    values = {
        "image": [{"bytes": encoded(seed + row), "path": None} for row in range(count)],
        "label": [row % 2 for row in range(count)],
        **{name: value for name, (_, value) in columns.items()},
    }
    return datasets.Dataset.from_dict(values, features=datasets.Features(kinds))
