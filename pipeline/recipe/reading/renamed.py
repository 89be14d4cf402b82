"""Keys that had another name before: taken with a warning for one minor version, refused with the new name after it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import exporters
from pipeline.recipe.reading.merging import PRESETS, merge, value_at
from pipeline.yaml_document import Document, KeyPath, Position, dotted

ANY = "*"
"""In a path: any one key, such as the name of a view."""


@dataclass(frozen=True)
class Renamed:
    """A key or section that has another name, or another place, since a minor version.

    Attributes:
        old: its dotted path before; `*` stands for one key of any name.
        new: its path now, with as many `*`, which stand for the same keys.
        since: the version that brought the new name, such as `0.2`. All of 0.2 takes both, and 0.3 refuses the old one.
    """

    old: str
    new: str
    since: str

    @property
    def age(self) -> int:
        """Minor versions since then: up to 0 the old name still works, at 1 it is refused, beyond it is forgotten.

        The first version of a major one follows the last minor version of the one before.
        """
        major, minor = _minor_version(self.since)
        our_major, our_minor = _minor_version(exporters.__version__)
        if our_major == major:
            return our_minor - minor
        return our_major - major + our_minor if our_major > major else -1

    def told(self, new: KeyPath) -> str:
        """What a recipe is told that has the old name of a key."""
        major, minor = _minor_version(self.since)
        end = "" if self.age > 0 else f", and refused from {major}.{minor + 1} on"
        return f"is called {dotted(new)} since {self.since}{end}; write the new name"

    def new_path(self, old: KeyPath) -> KeyPath | None:
        """The path now of a path before, or of one below it; None for other paths."""
        pattern = tuple(self.old.split("."))
        if len(old) < len(pattern) or not _matches(old[: len(pattern)], pattern):
            return None
        names = iter([key for key, part in zip(old, pattern, strict=False) if part == ANY])
        return tuple(next(names) if part == ANY else part for part in self.new.split(".")) + old[len(pattern) :]


RENAMED: tuple[Renamed, ...] = ()
"""Every key that was renamed in this minor version or the last one. None was since 0.1, the first version."""


def current_path(path: KeyPath) -> KeyPath:
    """What a path is called now."""
    for rename in RENAMED:
        path = rename.new_path(path) or path
    return path


def rename_in_document(document: Document) -> list[tuple[Position, str]]:
    """Give the keys of a file their names of today, in its value, positions and spellings.

    What is no longer taken, or given under both names, is added to the document's mistakes.

    Returns:
        Warnings about the others, each with the place of the old key.
    """
    warnings: list[tuple[Position, str]] = []
    for rename in RENAMED:
        for old in list(_found(document.value, tuple(rename.old.split(".")))):
            new = rename.new_path(old)
            assert new is not None, "a path that was found by the pattern matches it"
            at = document.positions[old]
            if not _move(document.value, old, new):
                line = document.positions[new].line
                message = (
                    f"is the name of {dotted(new)} before {rename.since}, which stands in line {line}; leave it out"
                )
                document.mistakes.append((at, f"{dotted(old)}: {message}"))
                continue
            for found in (document.positions, document.spellings):
                for path in [path for path in found if path[: len(old)] == old]:
                    found[new + path[len(old) :]] = found.pop(path)  # type: ignore[assignment]
            for depth in range(1, len(new)):
                document.positions.setdefault(new[:depth], at)
            message = f"{dotted(old)}: {rename.told(new)}"
            (document.mistakes if rename.age > 0 else warnings).append((at, message))
    return warnings


@dataclass
class Told:
    """What is said of the old names in a `--set`.

    Attributes:
        warnings: of names that are still taken.
        mistakes: of names that are not.
    """

    warnings: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def add(self, rename: Renamed, old: KeyPath, new: KeyPath) -> None:
        """Say it of a key."""
        (self.mistakes if rename.age > 0 else self.warnings).append(f"{dotted(old)}: {rename.told(new)}")


def rename_key(path: tuple[str, ...], told: Told) -> tuple[str, ...]:
    """The name of today of a `--set`'s key."""
    for rename in RENAMED:
        if (new := rename.new_path(path)) is not None:
            told.add(rename, path, new)
            path = tuple(map(str, new))
    return path


def rename_in_value(path: tuple[str, ...], value: Any, told: Told) -> Any:
    """The value of a `--set` with the names of today, where it is a section.

    A key that has gone out of the section cannot be set with it: that is a mistake, which says what to set.
    """
    for rename in RENAMED:
        whole: Any = value
        for key in reversed(path):
            whole = {key: whole}
        for old in list(_found(whole, tuple(rename.old.split(".")))):
            new = rename.new_path(old)
            if new is None or len(old) <= len(path):
                continue
            if new[: len(path)] != path:
                told.mistakes.append(f"{dotted(old)}: {rename.told(new)}: --set {dotted(new)}=…")
            elif _move(whole, old, new):
                told.add(rename, old, new)
            else:
                told.mistakes.append(f"{dotted(old)}: is the name of {dotted(new)} before {rename.since}; leave it out")
        value = value_at(whole, path)
    return value


def _minor_version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def _matches(path: KeyPath, pattern: KeyPath) -> bool:
    return all(part in (ANY, key) for key, part in zip(path, pattern, strict=True))


def _found(tree: Any, pattern: KeyPath, at: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of a tree that match a pattern."""
    if not pattern:
        yield at
    elif isinstance(tree, dict):
        for key in tree if pattern[0] == ANY else [pattern[0]]:
            if key in tree:
                yield from _found(tree[key], pattern[1:], (*at, key))


def _move(tree: dict[str, Any], old: KeyPath, new: KeyPath) -> bool:
    """Move a value from one key to another, in place; sections that are left empty go.

    False, and the old key is gone, where something stands at the new one.
    """
    value: Any = value_at(tree, old)
    for depth in range(len(old), 0, -1):
        section, key = value_at(tree, old[: depth - 1]), str(old[depth - 1])
        if depth == len(old) or section[key] == {}:
            del section[key]
    around = [(new[:depth], value_at(tree, new[:depth])) for depth in range(1, len(new))]
    if isinstance(section := value_at(tree, new[:-1]), dict) and new[-1] in section:
        return False
    if any(
        not (each is None or isinstance(each, dict) or (path in PRESETS and isinstance(each, str)))
        for path, each in around
    ):
        return True  # a value in the place of a section is a mistake that is told, and would be hidden by the section
    for part in reversed(new):
        value = {str(part): value}
    merge(tree, value)
    return True
