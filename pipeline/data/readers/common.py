"""What readers share: the root folder, names a person can read, and links that must not leave the data set."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from exporters.errors import UnavailableError
from pipeline.data.listing import Split, SplitName

VALIDATION_NAMES = ("val", "valid", "validation")


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


def readable_names(raw: Sequence[str], source: Path) -> list[str]:
    """Class names as a person writes them: underscores become spaces.

    Raises:
        UnavailableError: fewer than two classes, two with the same name, an empty one, or one that is not UTF-8.
    """
    names: dict[str, str] = {}
    for text in raw:
        name = " ".join(text.replace("_", " ").split())
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UnavailableError(f"{source}: class {text!r} is not valid UTF-8", remedy="rename it") from None
        if not name or name in names:
            other = f"reads the same as '{names[name]}'" if name else "has an empty name"
            raise UnavailableError(f"{source}: class '{text}' {other}", remedy="rename it")
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
