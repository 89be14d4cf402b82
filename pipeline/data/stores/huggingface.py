"""Images of a data set that the Hugging Face library `datasets` holds."""

import hashlib
import re
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from exporters.core.errors import UnavailableError
from exporters.core.write_errors import full_cache
from exporters.images.decoding import UnreadableImageError
from pipeline.data.stores.base import Store, file_mark

INSTALL = "pip install 'tmkd-pipeline[hf]'"
_SPLIT = re.compile(r"^([a-z]+)(?:[-_.].*)?$", re.IGNORECASE)


def open_splits(root: Path, name: str) -> dict[str, Any]:
    """The splits of a data set by their own names, each a `datasets.Dataset`.

    Looked for below `root/<name>`, then `root`: what `save_to_disk` wrote, or Parquet files called by their split
    (`train-00000-of-00002.parquet`, also below `data/`). Else the library finds it by name on the hub, with `root` as
    its cache.

    Raises:
        UnavailableError: the library is missing, or finds no such set.
    """
    try:
        import datasets
    except ImportError as error:
        raise UnavailableError(
            f"data.dataset: hf:{name} needs the package datasets: {error}", remedy=INSTALL
        ) from error
    place = root / name if (root / name).is_dir() else root
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if (place / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(str(place))
        elif files := parquet_files(place):
            found = datasets.load_dataset("parquet", data_files=files)
        else:
            found = datasets.load_dataset(name, cache_dir=str(root))
    except Exception as error:  # the library raises its own errors, those of pyarrow and of the network
        if (full := full_cache(error, root)) is not None:
            raise full from error
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UnavailableError(
            f"data.root: datasets finds no usable '{name}' in {place}: {reason}",
            remedy="data.root may hold what save_to_disk wrote, or train-*.parquet and test-*.parquet; a name of the "
            "hub is fetched into it by the library, which needs the internet once",
        ) from error
    finally:
        if shown:
            datasets.enable_progress_bars()
    return dict(found)


def parquet_files(place: Path) -> dict[str, list[str]]:
    """The Parquet files of a folder, or of `data/` in it, by the split that begins their names."""
    found: dict[str, list[str]] = {}
    for path in sorted(place.glob("*.parquet")) or sorted(place.glob("data/*.parquet")):
        match = _SPLIT.match(path.stem)
        if match is not None:
            found.setdefault(match[1], []).append(str(path))
    return found


def feature_column(dataset: Any, kind: str, preferred: tuple[str, ...]) -> str:
    """The column of a kind of feature, `Image` or `ClassLabel`.

    Args:
        dataset: a `datasets.Dataset`.
        kind: name of the feature's class.
        preferred: names to choose by, where several columns are of this kind.

    Raises:
        UnavailableError: no such column, or several of which none has a preferred name.
    """
    columns = [name for name, feature in dataset.features.items() if type(feature).__name__ == kind]
    chosen = columns[:1] if len(columns) == 1 else [name for name in preferred if name in columns][:1]
    if not chosen:
        found = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in dataset.features.items())
        raise UnavailableError(
            f"the data set has {'several columns' if columns else 'no column'} of the feature {kind}; it has {found}",
            remedy=f"cast the column to datasets.{kind}, rename it to {preferred[0]} where there are several, and save "
            "the data set with save_to_disk",
        )
    return chosen[0]


class HuggingFaceStore(Store):
    """Images by split and number: `test/17`, the split under its own name. What is hashed is the encoded image.

    The argument is the data set's name.
    """

    def __init__(self, root: Path, argument: str) -> None:
        super().__init__(root, argument)
        self._lock = Lock()
        self._columns: dict[str, Any] | None = None
        self._mark = cache(self._find_mark)

    def read(self, key: str) -> bytes:
        """The bytes of the image file that the row holds or names."""
        split, _, number = key.rpartition("/")
        images = self._images()
        try:
            (image,) = images[split][int(number)].values()
        except Exception as error:  # a split or row that is gone, or whatever pyarrow meets
            reason = str(error).split("\n")[0] or type(error).__name__
            raise UnreadableImageError(f"{self.describe(key)}: the image cannot be read: {reason}") from error
        if image is None or (image["bytes"] is None and image["path"] is None):
            raise UnreadableImageError(f"{self.describe(key)}: the image cannot be read: the row has none")
        return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()

    def mark(self, key: str) -> str:
        """The files that the split is read from, with their marks."""
        return self._mark(key.rpartition("/")[0])

    def describe(self, key: str) -> str:
        """The data set and the row."""
        return f"hf:{self.argument} in {self.root}: row {key}"

    def _images(self) -> dict[str, Any]:
        with self._lock:
            if self._columns is None:
                import datasets

                self._columns = {}
                for split, dataset in open_splits(self.root, self.argument).items():
                    column = feature_column(dataset, "Image", ("image", "img"))
                    images = dataset.select_columns([column])
                    self._columns[split] = images.cast_column(column, datasets.Image(decode=False))
            return self._columns

    def _find_mark(self, split: str) -> str:
        digest = hashlib.sha256()
        for file in open_splits(self.root, self.argument)[split].cache_files:
            digest.update(f"{file['filename']} {file_mark(Path(file['filename']))}\n".encode())
        return digest.hexdigest()
