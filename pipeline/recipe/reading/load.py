"""From a recipe's name or path, and `--set`s, to a checked recipe; or to all of its mistakes in one message."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.core.errors import UsageError
from exporters.core.files import sha256_bytes, sha256_file
from pipeline.catalog import configs_directory, find_recipe
from pipeline.recipe.reading.extends import FROM_VALUES, Merged, Place, read_merged, read_values
from pipeline.recipe.reading.mistakes import Mistake, validate
from pipeline.recipe.reading.overrides import Override, apply_override, parse_override
from pipeline.recipe.schema.recipe import Recipe
from pipeline.yaml_document import KeyPath, Position, dotted

_LONGEST_SET = 120
"""Letters of a `--set` that a message repeats."""
_REMEDY = "`tmkd-pipeline schema` gives every key with its meaning and bounds."


@dataclass(frozen=True)
class Origin:
    """What decides a key.

    Attributes:
        shown: `file:line:column`, or the `--set`.
        ships: whether it is a file that ships with the package.
    """

    shown: str
    ships: bool


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and where it came from.

    Attributes:
        recipe: checked, overrides applied.
        path: its file; `recipe` where it is none.
        text: the file as it was read, without overrides and what it extends.
        sha256: of the file's bytes.
        origins: key → what decides it; keys that are left to their defaults are not there.
        warnings: keys under a name that they had before, each with `file:line:column` or the `--set`.
    """

    recipe: Recipe
    path: Path
    text: str
    sha256: str
    origins: Mapping[KeyPath, Origin] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def origin(self, key: str) -> Origin:
        """What decides a dotted key, or else the section around it."""
        path: KeyPath = tuple(key.split("."))
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, Origin(str(self.path), _ships(self.path)))

    def warned(self, warn: Callable[[str], None]) -> "LoadedRecipe":
        """The recipe itself, once `warn` has been given each of its warnings: commands read what a user names so."""
        for warning in self.warnings:
            warn(warning)
        return self


def load_recipe(source: str | Path | Mapping[str, Any], overrides: Sequence[str | Override] = ()) -> LoadedRecipe:
    """Read and check a recipe.

    Args:
        source: a path, else a name below `configs`, such as `quickstart` or `recipes/quickstart.yaml`; or the keys and
            values themselves.
        overrides: `a.b=c` texts, or what `override_of` makes of values; applied in order.

    Raises:
        UsageError: no such recipe, or mistakes: one line for each, with `file:line:column` or the `--set`, the key
            path, what was expected and what was found, and the nearest key.
    """
    path = Path(FROM_VALUES) if isinstance(source, Mapping) else find_recipe(str(source))
    merged = read_values(source) if isinstance(source, Mapping) else read_merged(path)
    changes = [parse_override(change) if isinstance(change, str) else change for change in overrides]
    lines = [(place, f"{merged.shown(place)}: {message}") for place, message in merged.mistakes]
    set_lines = [f"{_shown(change)}: {message}" for change in changes for message in change.mistakes]
    if not isinstance(merged.value, dict):
        raise _error(lines, set_lines)

    tree = merged.value
    tree.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:100] or "recipe")
    changes = [change for change in changes if not change.mistakes]
    for change in changes:
        apply_override(tree, change)
    spellings = {key: place.spelling for key, place in merged.places.items() if place.spelling}
    for change in changes:
        spellings = {key: text for key, text in spellings.items() if key[: len(change.path)] != change.path}
        spellings |= change.spellings
    recipe, mistakes = validate(tree, spellings)
    for mistake in mistakes:
        if mistake.involves and not merged.complete:
            continue  # it may follow from what the missing fragment says
        message = f"{dotted(mistake.path)}: {mistake.message}"
        if cause := _cause(mistake, changes, merged):
            set_lines.append(f"{_shown(cause)}: {message}")
        else:
            place = _nearest_place(merged, mistake.path)
            lines.append((place, f"{merged.shown(place)}: {message}"))
    if recipe is None or lines or set_lines:
        raise _error(lines, set_lines)
    ships = [_ships(file) for file, _ in merged.files]
    text = merged.files[0][1]
    digest = sha256_bytes(text.encode()) if merged.from_values else sha256_file(path)
    origins = {key: Origin(merged.shown(place), ships[place.file]) for key, place in merged.places.items()}
    origins |= {change.path: Origin(_shown(change), ships=False) for change in changes}
    warnings = [f"{merged.shown(place)}: {message}" for place, message in sorted(merged.warnings)]
    warnings += [f"{_shown(change)}: {message}" for change in changes for message in change.warnings]
    return LoadedRecipe(recipe, path, text, digest, origins, tuple(warnings))


def _shown(change: Override) -> str:
    """A change as it was given; of a very long one, its beginning."""
    text = change.text
    return f"{change.given_by} {text if len(text) <= _LONGEST_SET else f'{text[:_LONGEST_SET]}…'}"


def _ships(path: Path) -> bool:
    return path.resolve().is_relative_to(configs_directory())


def _cause(mistake: Mistake, changes: list[Override], merged: Merged) -> Override | None:
    """The last `--set` that a mistake comes from; None where it is the file's own."""
    for path in (mistake.path, *mistake.involves):
        for change in reversed(changes):
            if path[: len(change.path)] == change.path:
                return change
    if mistake.path in merged.places:
        return None
    for change in reversed(changes):
        if change.path[: len(mistake.path)] == mistake.path:
            return change
    return None


def _nearest_place(merged: Merged, path: KeyPath) -> Place:
    while path and path not in merged.places:
        path = path[:-1]
    return merged.places.get(path, Place(0, Position(1, 1)))


def _error(lines: list[tuple[Place, str]], set_lines: list[str]) -> UsageError:
    found = [text for _, text in sorted(lines)] + set_lines
    remedy = None if all(": not valid YAML: " in text for text in found) else _REMEDY
    return UsageError("\n".join(found), remedy=remedy)
