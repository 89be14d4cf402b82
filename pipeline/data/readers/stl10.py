"""STL-10 (Coates et al. 2011) as its archive unpacks: 96 px images, stored column by column.

The unlabelled images are left out and counted. Fewer whole images are taken too, which the stage `data` says.
"""

from pathlib import Path

import numpy as np

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, Split, SplitName
from pipeline.data.readers.common import check_every_class, existing_root, readable_names
from pipeline.data.stores.records import LAYOUTS

FOLDER = "stl10_binary"
FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")
UNLABELLED = "unlabeled_X.bin"
OFFICIAL: dict[SplitName, int] = {"train": 5_000, "test": 8_000}
REMEDY = (
    f"data.root must hold {', '.join(FILES)}, or {FOLDER}/ with them, as stl10_binary.tar.gz of "
    "https://cs.stanford.edu/~acoates/stl10/ unpacks"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits; `settings` and `progress` are of no effect.

    Raises:
        UnavailableError: a file is missing, is no whole number of images, has not as many labels as images, or has a
            label that is no class; names the file.
    """
    root = existing_root(root, "stl10", REMEDY)
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UnavailableError(f"data.root: {folder} has no {', '.join(missing)}", remedy=REMEDY)
    names = [line for line in (folder / FILES[4]).read_text("utf-8", "replace").splitlines() if line.strip()]
    splits: dict[SplitName, Split] = {}
    sides: tuple[SplitName, SplitName] = ("train", "test")
    for split in sides:
        count = _images(folder / f"{split}_X.bin")
        path = folder / f"{split}_y.bin"
        labels = np.fromfile(path, dtype=np.uint8).astype(np.int64) - 1  # classes are counted from 1
        if len(labels) != count:
            raise UnavailableError(
                f"{path}: {len(labels):,} labels for {count:,} images in {split}_X.bin",
                remedy="unpack the archive again",
            )
        wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
        if len(wrong):
            raise UnavailableError(
                f"{path}, image {wrong[0]}: label {labels[wrong[0]] + 1} is none of the {len(names)} classes"
            )
        splits[split] = Split((f"{split}/{number}" for number in range(count)), labels.tolist())
    check_every_class(folder, names, splits)
    ignored = {}
    if (folder / UNLABELLED).is_file():
        ignored["unlabelled"] = _images(folder / UNLABELLED)
    return Listing(folder, readable_names(names, folder), splits, ignored, OFFICIAL, "records:stl10")


def _images(path: Path) -> int:
    size, record = path.stat().st_size, LAYOUTS["stl10"].record_bytes
    if size == 0 or size % record:
        raise UnavailableError(
            f"{path}: {size:,} bytes are no whole number of images of {record:,} bytes",
            remedy="the file was cut; unpack the archive again",
        )
    return size // record
