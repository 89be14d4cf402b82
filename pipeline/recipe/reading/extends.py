"""`extends:`: a recipe's file with the fragments that it names below it, every key with the file that it comes from."""

import difflib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.core.errors import UsageError
from pipeline.catalog import configs_directory, fragment_names
from pipeline.recipe.reading.merging import PRESETS, merge, value_at
from pipeline.recipe.reading.renamed import rename_in_document
from pipeline.yaml_document import LARGEST_TEXT, KeyPath, Position, dump_yaml, parse_yaml

KEY = "extends"

FROM_VALUES = "recipe"
"""What a recipe that is no file is called in messages."""

LARGEST_CHAIN = 5
"""Fragments above one another: more than that, and nobody finds where a value comes from."""

_SHIPPED = "base/"
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands: the number of its file in `Merged.files`, and the line and column there.

    `spelling` is how a value that is no text is written there, see `Document.spellings`.
    """

    file: int
    position: Position
    spelling: str = field(default="", compare=False)


@dataclass
class Merged:
    """What a recipe's file says together with its fragments.

    Attributes:
        value: as `Document.value`, without `extends`; sections merged, everything else of the higher file.
        places: where each key or list item stands, in the file that decides it.
        mistakes: what is wrong with the form of the files and with what they extend.
        warnings: keys under a name that they had before.
        files: path and text of each file, the recipe's own first.
        complete: whether every fragment was found and read.
    """

    value: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    mistakes: list[tuple[Place, str]] = field(default_factory=list)
    warnings: list[tuple[Place, str]] = field(default_factory=list)
    files: list[tuple[Path, str]] = field(default_factory=list)
    complete: bool = True
    from_values: bool = False
    """Whether the first of the files is none: its text was written from values."""

    def shown(self, place: Place) -> str:
        """`file:line:column`; of a recipe that is no file, its name alone."""
        path = shown(self.files[place.file][0])
        if self.from_values and place.file == 0:
            return path
        return f"{path}:{place.position.line}:{place.position.column}"


def read_merged(path: Path) -> Merged:
    """Read a recipe and the fragments that it extends.

    Raises:
        UsageError: the recipe's own file cannot be read. What is wrong with a fragment is in the result.
    """
    merged = Merged()
    merged.value, merged.places = _Reader(merged).read(path, _read_text(path), (), Place(0, Position(1, 1)))
    return merged


def read_values(values: Mapping[str, Any]) -> Merged:
    """Read a recipe from plain values rather than a file, and the fragments that it extends.

    Args:
        values: as a recipe's file has them; paths of fragments are relative to the working directory.
    """
    merged = Merged(from_values=True)
    merged.value, merged.places = _Reader(merged).read(
        Path(FROM_VALUES), dump_yaml(dict(values)), (), Place(0, Position(1, 1))
    )
    return merged


def shown(path: Path) -> str:
    """A path as people write it: relative to the working directory where it is below."""
    working_directory = Path.cwd()
    return str(path.relative_to(working_directory) if path.is_relative_to(working_directory) else path)


class _Reader:
    def __init__(self, merged: Merged) -> None:
        self.merged = merged
        self.named: dict[Path, Place] = {}  # file → where it is named

    def read(self, path: Path, text: str, chain: tuple[Path, ...], by: Place) -> tuple[Any, dict[KeyPath, Place]]:
        """The value of a file with what it extends, and the places; `chain` are the files that lead here."""
        number = len(self.merged.files)
        self.merged.files.append((path, text))
        self.named[path.resolve()] = by
        document = parse_yaml(text)
        self.merged.warnings += [(Place(number, at), message) for at, message in rename_in_document(document)]
        self.merged.mistakes += [(Place(number, position), message) for position, message in document.mistakes]
        spellings = document.spellings
        own = {key: Place(number, place, spellings.get(key, "")) for key, place in document.positions.items()}
        if not isinstance(document.value, dict):
            if not document.mistakes:
                got = (
                    "nothing" if document.value is None else "a list" if isinstance(document.value, list) else "a value"
                )
                message = f"expected keys such as data: and train:, got {got}"
                self.merged.mistakes.append((Place(number, Position(1, 1)), message))
            if chain:
                self.merged.complete = False
            return document.value, own
        value = deepcopy(document.value)  # aliases give one object in several places
        tree: dict[str, Any] = {}
        places: dict[KeyPath, Place] = {}
        for name, place in self.names(value.pop(KEY, []), own):
            found = self.fragment(name, place, (*chain, path))
            if found is None:
                self.merged.complete = False
                continue
            below, below_places = found
            below.pop("name", None)  # or two recipes would share a run directory
            merge(tree, below)
            places |= {key: at for key, at in below_places.items() if key != ("name",)}
            places |= {(*key, "preset"): below_places[key] for key in PRESETS if isinstance(value_at(below, key), str)}
        places |= {(*key, "preset"): own[key] for key in PRESETS if isinstance(value_at(value, key), str)}
        merge(tree, value)
        return tree, places | own

    def names(self, given: Any, own: dict[KeyPath, Place]) -> list[tuple[str, Place]]:
        items = [(given, own[(KEY,)])] if isinstance(given, str) else []
        if isinstance(given, list) and all(isinstance(item, str) for item in given):
            return items + [(item, own[KEY, index]) for index, item in enumerate(given)]
        if not items:
            self.refuse(own[(KEY,)], "expected a name such as base/cub, a path, or a list of these")
        return items

    def fragment(
        self, name: str, place: Place, chain: tuple[Path, ...]
    ) -> tuple[dict[str, Any], dict[KeyPath, Place]] | None:
        path = self.find(name, place, chain[-1].parent)
        if path is None:
            return None
        resolved = path.resolve()
        if resolved in [above.resolve() for above in chain]:
            self.refuse(place, f"{name} extends itself: {' → '.join(p.name for p in (*chain, path))}")
            return None
        if resolved in self.named:
            first = self.merged.shown(self.named[resolved])
            self.refuse(place, f"{name} is already extended in {first}; name it once")
            return None
        if len(chain) > LARGEST_CHAIN:
            self.refuse(place, f"{name}: more than {LARGEST_CHAIN} levels of fragments")
            return None
        try:
            text = _read_text(path)
        except UsageError as error:
            self.refuse(place, error.message)
            return None
        value, places = self.read(path, text, chain, place)
        return (value, places) if isinstance(value, dict) else None

    def find(self, name: str, place: Place, folder: Path) -> Path | None:
        if name.endswith(_SUFFIXES):
            path = folder / name
            try:
                if path.is_file():
                    return path
            except OSError as error:  # such as a name that is too long
                self.refuse(place, f"{name[:80]!r} cannot be a file: {error.strerror}")
                return None
            self.refuse(place, f"no such file: {shown(path)} (paths are relative to the file that names them)")
            return None
        known = [f"{_SHIPPED}{fragment}" for fragment in fragment_names()]
        if name in known:
            return configs_directory() / f"{name}.yaml"
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"these ship: {', '.join(known)}"
        self.refuse(place, f"{name[:80]!r} is neither a fragment that ships nor a .yaml file; {hint}")
        return None

    def refuse(self, place: Place, message: str) -> None:
        self.merged.complete = False
        self.merged.mistakes.append((place, f"{KEY}: {message}"))


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(4 * LARGEST_TEXT + 1)  # a character takes up to four bytes
    except OSError as error:
        raise UsageError(f"{shown(path)}: cannot be read: {error.strerror}") from error
    if len(content) > 4 * LARGEST_TEXT:
        raise UsageError(f"{shown(path)}: longer than {LARGEST_TEXT:,} characters, so not a recipe")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{shown(path)}: not UTF-8 text: byte {error.start} cannot be read") from error
