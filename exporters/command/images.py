"""The images of an export: those that files are proved on, and those that int8 is calibrated on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from exporters.core.errors import UnavailableError
from exporters.core.files import sha256_file
from exporters.core.progress import counted
from exporters.images.decoding import open_rgb
from exporters.images.labelled import calibration_folder, folders_of, proof_folder
from exporters.images.preprocessing import Preprocessing
from exporters.images.scan import Scan
from exporters.parity import Batch
from exporters.parity.chance import chance_level

GENERATED = 64
_BATCH = 32
_MEMORY = 2**29  # bytes of prepared images that are kept; the others are prepared again for each file
_SHOWN = 5


@dataclass(frozen=True)
class ImageFolder:
    """The image files below a folder, at any depth, in the order of their names; found once.

    Of a folder that holds the splits of a data set, as training reads them, those of one split.

    Args:
        given: the folder.
        purpose: `proof` takes the test split, or validation where there is no other; `calibration` the training split.

    Raises:
        UsageError: for a proof, there is a training split alone.
        UnavailableError: no images there.
    """

    given: Path
    purpose: Literal["proof", "calibration"] = "proof"

    def __post_init__(self) -> None:
        if not self.paths:
            passed_over = f" (passed over: {self.left_out})" if self.left_out else ""
            raise UnavailableError(
                f"{self.folder}: no images here{passed_over}", remedy="Give a folder of images or of classes."
            )

    @cached_property
    def folder(self) -> Path:
        """The folder itself, or that of the split."""
        if not self.given.is_dir():
            return self.given
        return proof_folder(self.given) if self.purpose == "proof" else calibration_folder(self.given)

    @cached_property
    def _scan(self) -> Scan:
        return Scan(self.folder)

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        if not self.folder.is_dir():
            return ()
        return tuple(self.folder / name for name in self._scan.images_below(self.folder))

    @property
    def left_out(self) -> str:
        """What was passed over there, as one line; empty where nothing was."""
        return self._scan.left_out.describe()

    def notes(self) -> list[str]:
        """What a person should hear of it: which split was taken, and what was passed over."""
        split = [] if self.folder == self.given else [f"the images of {self.purpose} are those of {self.folder}"]
        return split + ([f"{self.folder}: left out: {self.left_out}"] if self.left_out else [])

    def spread(self, count: int) -> tuple[Path, ...]:
        """So many of them, evenly spread; all where there are no more."""
        return tuple(self.paths[index] for index in spread(len(self.paths), count))


def spread(total: int, count: int) -> list[int]:
    """`min(count, total)` different indices below `total`, evenly spread."""
    count = min(count, total)
    return [index * total // count for index in range(count)]


class ProofImages:
    """What files are proved on: images of a folder or, where there is none, images that are drawn.

    Args:
        folder: where all folders with images are called as labels (`_` is read as a space where needed), these are the
            images' labels, and files beside the folders are left out, as training leaves them out; None: drawn.
        labels: the student's.
        preprocessing: the student's.
    """

    def __init__(self, folder: ImageFolder | None, labels: Sequence[str], preprocessing: Preprocessing) -> None:
        self._folder = folder
        self._preprocessing = preprocessing
        self._kept: list[Batch] = []
        place_of = folders_of(labels)
        names = [] if folder is None else [path.relative_to(folder.folder) for path in folder.paths]
        inside = [name for name in names if len(name.parts) > 1]
        beside = [name for name in names if len(name.parts) == 1]
        if inside and all(place_of(first) is not None for first in {name.parts[0] for name in inside}):
            names = inside
        else:
            beside = []
        self.notes = [] if folder is None else folder.notes()
        if beside:
            more = ", …" if len(beside) > 1 else ""
            self.notes.append(f"images beside the class folders are left out: {len(beside):,} ({beside[0]}{more})")
        self.paths = () if folder is None else tuple(folder.folder / name for name in names)
        found = [place_of(name.parts[0]) if len(name.parts) > 1 else None for name in names]
        known = [label for label in found if label is not None]
        self._names = [name.as_posix() for name in names] or [f"generated {index}" for index in range(GENERATED)]
        self._labels = np.array(known) if known and len(known) == len(names) else None
        self._stray = None if self._labels is not None or not names else names[found.index(None)]

    def __len__(self) -> int:
        return len(self._names)

    @property
    def source(self) -> str:
        """`folder` or `generated`."""
        return "generated" if self._folder is None else "folder"

    @property
    def chance(self) -> float | None:
        """The accuracy of always answering the commonest class; None where no labels are known."""
        return None if self._labels is None else chance_level(self._labels)

    @property
    def unlabelled(self) -> str | None:
        """Why no labels are known, naming an image; None where they are, or where images are drawn."""
        if self._stray is None:
            return None
        if len(self._stray.parts) == 1:
            return f"{self._stray} is in no folder of a class"
        return f"no label has the name of the folder {self._stray.parts[0]!r}"

    def opened(self) -> Iterator[tuple[str, Image.Image, np.ndarray | None]]:
        """Name, RGB image of its own size, and label `[1]` or None, one by one."""
        for index, name in enumerate(self._names):
            yield name, self._open(index), None if self._labels is None else self._labels[index : index + 1]

    def batches(self) -> Iterator[Batch]:
        """All of them, prepared; the same at every call."""
        return counted(self._batches(), "images", len(self), lambda batch: len(batch[0]))

    def _batches(self) -> Iterator[Batch]:
        for number, start in enumerate(range(0, len(self), _BATCH)):
            if number < len(self._kept):
                yield self._kept[number]
                continue
            batch = self._prepared(range(start, min(start + _BATCH, len(self))))
            if number == len(self._kept) and (number + 1) * batch[0].nbytes <= _MEMORY:
                self._kept.append(batch)
            yield batch

    def some(self, count: int) -> np.ndarray:
        """Uint8 `[count, S, S, 3]`, evenly spread; repeated where there are fewer."""
        images = self._prepared(spread(len(self), count))[0]
        return np.resize(images, (count, *images.shape[1:]))

    def _prepared(self, indices: Sequence[int]) -> Batch:
        images = np.stack([self._preprocessing.apply(self._open(index)) for index in indices])
        labels = None if self._labels is None else self._labels[list(indices)]
        return images, labels, [self._names[index] for index in indices]

    def _open(self, index: int) -> Image.Image:
        return open_rgb(self.paths[index]) if self.paths else draw(index)


def draw(index: int) -> Image.Image:
    """Smooth patches of colour under noise, each of another size."""
    random = np.random.default_rng(index)
    width, height = (int(side) for side in random.integers(96, 400, 2))
    patches = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noise = random.integers(-20, 21, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(patches, np.int16) + noise, 0, 255).astype(np.uint8))


def prepared_batches(paths: Sequence[Path], preprocessing: Preprocessing) -> Iterator[np.ndarray]:
    """Uint8 `[B, S, S, 3]`, for calibration."""
    starts = range(0, len(paths), _BATCH)
    batches = (np.stack([preprocessing.apply(open_rgb(path)) for path in paths[at : at + _BATCH]]) for at in starts)
    return counted(batches, "calibration images", len(paths), len)


def check_apart(calibration: Sequence[Path], proof: Sequence[Path]) -> None:
    """Refuse a file that stands among both: a file proved on the images that made it looks better than it is.

    Raises:
        UnavailableError: the same bytes in both; lists the first pairs, and how many there are.
    """
    by_size: dict[int, list[Path]] = {}
    for path in calibration:
        by_size.setdefault(path.stat().st_size, []).append(path)
    candidates = [path for path in proof if path.stat().st_size in by_size]
    sizes = {path.stat().st_size for path in candidates}
    by_content = {sha256_file(path): path for size in sizes for path in by_size[size]}
    pairs = [(by_content[digest], path) for path in candidates if (digest := sha256_file(path)) in by_content]
    if pairs:
        shown = "".join(f"\n    {one} = {other}" for one, other in pairs[:_SHOWN])
        more = f"\n    and {len(pairs) - _SHOWN:,} more" if len(pairs) > _SHOWN else ""
        raise UnavailableError(
            f"{len(pairs):,} of the images to prove on (--data) are those of the calibration (--calibration), which"
            f" would make int8 look better than it is{shown}{more}",
            remedy="Calibrate on training images, and prove on images that the network was not trained on.",
        )
