"""What readers share: the root folder, names a person can read, listing a folder, and links that must not leave."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from exporters.errors import UnavailableError
from pipeline.data.listing import IMAGE_SUFFIXES, Split, SplitName

VALIDATION_NAMES = ("val", "valid", "validation")

# Joiners belong to the spelling of words in many scripts; other characters without width only hide something.
_JOINERS = "\u200c\u200d"


def existing_root(root: Path | None, dataset: str, remedy: str) -> Path:
    """The data set's folder, made absolute.

    Raises:
        UnavailableError: `data.root` is not set, or is no folder.
    """
    if root is None:
        raise UnavailableError(f"data.root is not set, and data set '{dataset}' is read from a folder", remedy=remedy)
    root = root.expanduser()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UnavailableError(f"data.root: {root} {what}", remedy=remedy)
    return root.absolute()


def unpacked_folder(
    root: Path | None, dataset: str, needed: Sequence[str], remedy: str, below: Sequence[str] = ()
) -> Path:
    """The folder that holds what a data set consists of: `root` itself, or what its archive unpacks into below `root`.

    Args:
        root: `data.root`.
        dataset: its name, for the message.
        needed: files and folders that must be there.
        remedy: what to do where they are not.
        below: the names of the archive's top folder.

    Raises:
        UnavailableError: there is no such root, or none of the folders has everything; names what the fullest lacks.
    """
    root = existing_root(root, dataset, remedy)
    missing = {
        folder: [name for name in needed if not (folder / name).exists()]
        for folder in (root, *(root / name for name in below))
    }
    folder = min(missing, key=lambda folder: len(missing[folder]))
    if missing[folder]:
        raise UnavailableError(f"data.root: {folder} has no {', '.join(missing[folder])}", remedy=remedy)
    return folder


def refuse_escape(path: Path, resolved_root: Path) -> None:
    """Let nothing below the root lead out of it.

    Args:
        path: a file or folder below the root.
        resolved_root: the root with all its own links resolved.

    Raises:
        UnavailableError: `path` is, or runs through, a link to somewhere outside.
    """
    target = path.resolve()
    if not target.is_relative_to(resolved_root):
        raise UnavailableError(
            f"{path}: links to {target}, outside the data set", remedy="copy the file into the data set, or remove it"
        )


def files_in(folder: Path, resolved_root: Path) -> tuple[list[str], list[str]]:
    """The names of the files and of the folders in a folder, sorted; hidden ones are passed over.

    Only links are looked at one by one, so that a folder of a million images is listed in seconds.

    Raises:
        UnavailableError: the folder cannot be listed, or it, or something in it, leads out of the data set.
    """
    files: list[str] = []
    folders: list[str] = []
    refuse_escape(folder, resolved_root)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                if entry.is_symlink():
                    refuse_escape(Path(entry.path), resolved_root)
                    if not Path(entry.path).exists():
                        raise UnavailableError(f"{entry.path}: links to a file that is not there", remedy="remove it")
                (folders if entry.is_dir() else files).append(entry.name)
    except (OSError, ValueError) as error:  # ValueError: a name that no file system takes
        raise UnavailableError(f"{folder}: cannot be listed: {getattr(error, 'strerror', error)}") from error
    return sorted(files), sorted(folders)


def images_in(folder: Path, resolved_root: Path, ignored: Counter[str]) -> list[str]:
    """The names of the images in a folder, sorted; other files are counted in `ignored` by suffix.

    Raises:
        UnavailableError: see `files_in`.
    """
    images = []
    for name in files_in(folder, resolved_root)[0]:
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a million paths are no objects
        if suffix in IMAGE_SUFFIXES:
            images.append(name)
        else:
            ignored[suffix or "no suffix"] += 1
    return images


def readable_names(raw: Sequence[str], source: Path, lines: Sequence[int] | None = None) -> list[str]:
    """Class names as a person writes them: underscores become spaces.

    Args:
        raw: the names as they stand in the data set.
        source: where they stand, for messages.
        lines: the line of each in `source`, where that is a file.

    Raises:
        UnavailableError: fewer than two classes, two with the same name, an empty one, one that is not UTF-8, or one
            with control characters, which would change what a terminal or a document shows.
    """
    names: dict[str, str] = {}
    for position, text in enumerate(raw):
        name = " ".join(text.replace("_", " ").split())
        place = f"{source}: class {text!r}" if lines is None else f"{source}, line {lines[position]}: class {text!r}"
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UnavailableError(f"{place} is not valid UTF-8", remedy="rename it") from None
        if any(unicodedata.category(letter) in ("Cc", "Cf") and letter not in _JOINERS for letter in name):
            raise UnavailableError(f"{place} holds control characters", remedy="rename it")
        if not name or name in names:
            other = f"reads the same as {names[name]!r}" if name else "has an empty name"
            raise UnavailableError(f"{place} {other}", remedy="rename it")
        names[name] = text
    if len(names) < 2:
        raise UnavailableError(f"{source}: {len(names)} class found, a classifier needs at least 2")
    return list(names)


def held_out_names(found: Iterable[str], source: Path, remedy: str) -> dict[SplitName, str]:
    """Which of the splits that a data set calls by name is which of ours.

    `val` (or `valid`, `validation`) is the test split where there is no `test`, else the validation split.

    Args:
        found: the names that there are, `train` among them.
        source: where they were found, for messages.
        remedy: what to do where one is missing.

    Raises:
        UnavailableError: neither `test` nor `val`, or two names of the validation split.
    """
    names = set(found)
    validation = [name for name in VALIDATION_NAMES if name in names]
    if len(validation) > 1:
        raise UnavailableError(f"{source}: has both {validation[0]} and {validation[1]}", remedy="keep one of them")
    if "test" in names:
        return {"train": "train", "test": "test", **({"validation": validation[0]} if validation else {})}
    if not validation:
        raise UnavailableError(f"{source}: has a train split but neither test nor val", remedy=remedy)
    return {"train": "train", "test": validation[0]}


def check_every_class(source: Path, names: Sequence[str], splits: Mapping[SplitName, Split]) -> None:
    """Every split has images of every class.

    Raises:
        UnavailableError: one has not; names class and split.
    """
    for split, listed in splits.items():
        missing = sorted(set(range(len(names))) - set(listed.labels))
        if missing:
            raise UnavailableError(
                f"{source}: class '{names[missing[0]]}' has no image in the {split} split",
                remedy="every split must have images of every class",
            )
