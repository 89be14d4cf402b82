"""What readers share: the root folder, names a person can read, and links that must not leave the data set."""

from collections.abc import Sequence
from pathlib import Path

from exporters.errors import UnavailableError


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
