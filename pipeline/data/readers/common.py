"""What readers share: the root folder, names that a person can read, and which splits there are."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.names import normalized, path_on_disk
from exporters.images.splits import find_splits, split_of, with_test
from pipeline.data.listing import Split, SplitName
from pipeline.data.prepare.sources import prepare_remedy

# Joiners belong to the spelling of words in many scripts; other characters without width only hide something.
_JOINERS = "\u200c\u200d"


def existing_root(root: Path | None, dataset: str, remedy: str) -> Path:
    """The data set's folder, made absolute.

    Raises:
        UnavailableError: `data.root` is not set, or is no folder.
    """
    if root is None:
        raise UnavailableError(f"data.root is not set, and data set '{dataset}' is read from a folder", remedy=remedy)
    root = path_on_disk(root.expanduser())
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        fetch = prepare_remedy(dataset, str(root))
        raise UnavailableError(f"data.root: {root} {what}", remedy="\n  ".join(filter(None, (fetch, remedy))))
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
    names: dict[str, tuple[str, str]] = {}
    for position, text in enumerate(raw):
        name = " ".join(text.replace("_", " ").split())
        place = f"{source}: class {text!r}" if lines is None else f"{source}, line {lines[position]}: class {text!r}"
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UnavailableError(f"{place} is not valid UTF-8", remedy="rename it") from None
        if any(unicodedata.category(letter) in ("Cc", "Cf") and letter not in _JOINERS for letter in name):
            raise UnavailableError(f"{place} holds control characters", remedy="rename it")
        key = normalized(name)
        if not name or key in names:
            form = ", written in another Unicode form" if name and name != names[key][0] else ""
            other = f"reads the same as {names[key][1]!r}{form}" if name else "has an empty name"
            raise UnavailableError(f"{place} {other}", remedy="rename it")
        names[key] = name, text
    if len(names) < 2:
        raise UnavailableError(f"{source}: {len(names)} class found, a classifier needs at least 2")
    return [name for name, _ in names.values()]


def named_splits(found: Iterable[str], source: Path, remedy: str) -> dict[SplitName, str]:
    """Which of the splits that a data set calls by name is which of ours (`exporters.images.splits`).

    The validation split is the test split where there is no other.

    Args:
        found: the names that there are.
        source: where they were found, for messages.
        remedy: what to do where one is missing.

    Raises:
        UnavailableError: no training split, neither test nor validation, or two names for one of them.
    """
    names = list(found)
    splits = find_splits(names, source, mark="")
    if "train" not in splits:
        raise UnavailableError(f"{source}: has no train split, but {', '.join(names[:9]) or 'none'}", remedy=remedy)
    if len(splits) == 1:
        raise UnavailableError(f"{source}: has a train split but neither test nor val", remedy=remedy)
    return with_test(splits)


def notes_on_test(splits: Mapping[SplitName, str]) -> list[str]:
    """What a person should hear where the validation split became the test split; empty where it did not.

    Args:
        splits: split → its name in the data set, after `with_test`.
    """
    name = splits["test"]
    if (found := split_of(name)) is None or found[0] != "validation":
        return []
    return [f"there is no test split, so that {name} is taken for it; validation is split from training"]


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
