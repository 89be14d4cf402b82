"""Small data sets in the true layouts, made of noise."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index


@dataclass(frozen=True)
class RandAugment:
    operations: int = 2
    magnitude: int = 9


@dataclass(frozen=True)
class Augment:
    crop: Literal["random", "resized", "shift", "none"] = "resized"
    scale: tuple[float, float] = (0.5, 1.0)
    padding: int = 4
    flip: bool = True
    jitter: float = 0.0
    randaugment: RandAugment | None = None
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0


@dataclass(frozen=True)
class Data:
    dataset: str = "folder"
    root: str | None = None
    labels: str | None = None
    image_size: int = 16
    resize_to: int = 20
    validation: float = 0.25
    test: float = 0.25
    split_seed: int = 0
    train_images: int | None = None
    on_error: Literal["fail", "skip"] = "fail"
    on_leak: Literal["fail", "drop"] = "fail"


def write_image(path: Path, seed: int, width: int = 24, height: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_folders(root: Path, counts: dict[str, int]) -> Path:
    """Write `counts[class folder]` images into each; class folders may stand below a split's folder."""
    for folder, count in counts.items():
        for i in range(count):
            # Other noise in every folder: the same image in two splits would be a leak.
            write_image(root / folder / f"{i:03}.png", 1000 * crc32(folder.encode()) + i, 24 + i % 3, 20 + i % 2)
    return root


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Data]:
    return lambda **changes: replace(Data(root=str(tmp_path)), **changes)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return write_folders(tmp_path, {"train/wood_duck": 8, "train/teal": 9, "test/wood_duck": 3, "test/teal": 2})


@pytest.fixture
def index(folders: Path, settings: Callable[..., Data]) -> DataIndex:
    """The data set of `folders`, indexed."""
    return build_index(settings())  # type: ignore[arg-type]


@pytest.fixture
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TMKD_CACHE", str(folder))
    return folder
