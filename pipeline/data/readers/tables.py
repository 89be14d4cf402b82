"""Tables that come with data sets: lines of text, MATLAB files, and the images that their rows name."""

import unicodedata
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.names import normalized, path_on_disk
from exporters.images.scan import Scan
from pipeline.data.listing import SPLITS, Split, SplitName

Key = TypeVar("Key", bound=Hashable)
"""What a table calls a class by: a number, a code or a name."""

AGAIN = "unpack the original archive again"
_SPLIT_WORDS: dict[SplitName, str] = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: in a text file on a line, in a MATLAB file at an entry, both counted from 1."""

    file: Path
    number: int
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.number}"

    def error(self, message: str, remedy: str = AGAIN) -> UnavailableError:
        """An error that names this place."""
        return UnavailableError(f"{self}: {message}", remedy=remedy)


def read_text(path: Path, remedy: str = AGAIN) -> str:
    """A UTF-8 file, with or without a byte order mark.

    Raises:
        UnavailableError: it cannot be read, or is not UTF-8; names the line.
    """
    content = b""
    try:
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror}", remedy=remedy) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Place(path, line).error("is not UTF-8 text", remedy) from error


def read_rows(path: Path, remedy: str = AGAIN) -> Iterator[tuple[Place, str]]:
    """The lines that hold something, without blanks around them, each with its place.

    Raises:
        UnavailableError: see `read_text`; or there are none.
    """
    rows = [
        (Place(path, number), text.strip())
        for number, text in enumerate(read_text(path, remedy).split("\n"), start=1)
        if text.strip()
    ]
    if not rows:
        raise UnavailableError(f"{path}: is empty", remedy=remedy)
    return iter(rows)


def load_matlab(path: Path, variables: Sequence[str], remedy: str = AGAIN) -> list[np.ndarray]:
    """Variables of a `.mat` file (before version 7.3), each as an array of at least one dimension.

    Raises:
        UnavailableError: scipy is not installed, the file cannot be read, or it has no such variable.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise UnavailableError(
            f"{path}: MATLAB files are read with scipy, which cannot be imported ({error})",
            remedy="pip install scipy (the extras `cpu` and `gpu` bring it along)",
        ) from error
    try:
        found: dict[str, Any] = loadmat(path, squeeze_me=True, variable_names=list(variables))
    except Exception as error:  # a damaged file raises whatever scipy meets in it
        raise UnavailableError(f"{path}: cannot be read as a MATLAB file: {error}", remedy=remedy) from error
    for name in variables:
        if name not in found:
            raise UnavailableError(f"{path}: has no variable '{name}'", remedy=remedy)
    return [np.atleast_1d(found[name]) for name in variables]


def whole_number(value: object) -> int | None:
    """A value of a table as an integer ≥ 0, be it digits, an integer or MATLAB's 5.0; None for anything else."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


class Rows(Generic[Key]):
    """The images that the rows of tables name, checked as they come and gathered by split.

    Each folder is listed once, so that a hundred thousand rows take no hundred thousand questions to the disk. A path
    in another Unicode form than the file's is that of the file.
    """

    def __init__(self, root: Path, remedy: str = AGAIN) -> None:
        """Take the folder that all paths are relative to, and what to do about a row that is wrong."""
        self.root = root
        self.remedy = remedy
        self._scan = Scan(root)
        self._folders: dict[str, dict[str, str]] = {}
        self._places: dict[str, Place] = {}
        self._splits: dict[SplitName, tuple[list[str], list[Key]]] = {}
        self._missing: list[tuple[Place, str]] = []

    def add(self, place: Place, split: SplitName, path: str, key: Key) -> None:
        """Add one image.

        Args:
            place: where the row stands.
            split: where the image belongs.
            path: relative to the root, with forward slashes.
            key: what the table calls its class by.

        Raises:
            UnavailableError: the path leads out of the root, or stands in another row already. A file that is not there
                is reported by `splits`, with the number of the others that are not.
        """
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise place.error(f"{path[:80]!r} leads out of the data set", self.remedy)
        # Blanks that are no space are not printable either, but file names have them.
        printable = path.isprintable() or not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path)
        if not pure.parts or not printable:
            raise place.error(f"{path[:80]!r} is no path", self.remedy)
        name = self._files(pure.parent.as_posix()).get(normalized(pure.name))
        path = pure.as_posix() if name is None else self._on_disk(pure, name)
        first = self._places.setdefault(path, place)
        if first is not place:
            where = f"on {first.unit} {first.number}" if first.file == place.file else f"in {first}"
            raise place.error(f"'{path}' stands {where} already", self.remedy)
        if name is None:
            self._missing.append((place, path))
        paths, keys = self._splits.setdefault(split, ([], []))
        paths.append(path)
        keys.append(key)

    def _files(self, folder: str) -> dict[str, str]:
        """The files of a folder, by their names in NFC."""
        if folder not in self._folders:
            path = path_on_disk(self.root / folder)
            files = self._scan.entries(path)[0] if path.is_dir() else []
            self._folders[folder] = {normalized(name): name for name in files}
        return self._folders[folder]

    def _on_disk(self, path: PurePosixPath, name: str) -> str:
        if str(path).isascii():
            return path.as_posix()
        if (self.root / path).exists():  # both forms may be there
            return path.as_posix()
        return self._scan.relative(path_on_disk(self.root / path.parent) / name)

    def splits(self, classes: Mapping[Key, tuple[object, str]]) -> dict[SplitName, Split]:
        """The splits that have rows, when all rows are added.

        Args:
            classes: key → where the class is named (a `Place` or a path) and its name, in the order of the labels;
                every key that was added.

        Raises:
            UnavailableError: files are not there (names the first and how many), or a class has no image in a split.
        """
        if self._missing:
            place, path = self._missing[0]
            more = f" ({len(self._missing):,} of {len(self._places):,} images are missing)"
            what = "a link to nothing is" if (self.root / path).is_symlink() else "there is no file"
            raise place.error(f"{what} {self.root / path}{more}", self.remedy)
        label_of = {key: label for label, key in enumerate(classes)}
        splits: dict[SplitName, Split] = {}
        for name in (name for name in SPLITS if name in self._splits):
            paths, keys = self._splits[name]
            absent = label_of.keys() - set(keys)
            if absent:
                where, text = classes[min(absent, key=label_of.__getitem__)]
                raise UnavailableError(f"{where}: class {text!r} has no {_SPLIT_WORDS[name]} image", remedy=self.remedy)
            splits[name] = Split(paths, [label_of[key] for key in keys])
        return splits
