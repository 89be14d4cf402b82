"""Names compared as a person reads them: an accented letter is the same in one code point (NFC) and in two (NFD)."""

import os
import unicodedata
from pathlib import Path


def normalized(name: str) -> str:
    """A name in Unicode's form NFC, to compare by; what is kept and shown is the name itself."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def similar_names(names: list[str]) -> list[list[str]]:
    """Groups of names that differ in nothing but case and blanks, in the order given; groups of one are left out."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault("".join(normalized(name).casefold().split()), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def path_on_disk(path: Path) -> Path:
    """The path that is there under this name in another Unicode form; `path` itself where it exists, or none does.

    A name that was typed is NFC, and one that came in an archive from a Mac is often NFD.
    """
    if str(path).isascii() or os.path.lexists(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if os.path.lexists(found / part):
            found /= part
            continue
        try:
            same = [child for child in found.iterdir() if normalized(child.name) == normalized(part)]
        except OSError:
            return path
        if len(same) != 1:
            return path
        found = same[0]
    return found
