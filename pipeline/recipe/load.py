"""From a recipe's name or path, and `--set`s, to a checked recipe; or to all of its mistakes in one message."""

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from exporters.errors import UsageError
from exporters.files import sha256_bytes
from pipeline.recipe.catalog import find_recipe
from pipeline.recipe.document import LARGEST_TEXT, Document, KeyPath, Position, dotted, parse_yaml
from pipeline.recipe.mistakes import Mistake, validate
from pipeline.recipe.overrides import Override, apply_override, parse_override
from pipeline.recipe.schema import Recipe

_REMEDY = "`tmkd-pipeline schema` gives every key with its meaning and bounds."


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe and where it came from.

    Attributes:
        recipe: checked, overrides applied.
        path: its file.
        text: the file as it was read, without overrides.
        sha256: of the file's bytes.
    """

    recipe: Recipe
    path: Path
    text: str
    sha256: str


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read and check a recipe.

    Args:
        source: a path, else a name below `configs`, such as `quickstart` or `recipes/quickstart.yaml`.
        overrides: `a.b=c` texts, applied in order.

    Raises:
        UsageError: no such recipe, or mistakes: one line for each, with `file:line:column` or the `--set`, the key
            path, what was expected and what was found, and the nearest key.
    """
    path = find_recipe(str(source))
    content = _read(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{_shown(path)}: not UTF-8 text: byte {error.start} cannot be read") from error

    document = parse_yaml(text)
    changes = [parse_override(override) for override in overrides]
    lines = [(position, f"{_place(path, position)}: {message}") for position, message in document.mistakes]
    set_lines = [f"--set {change.text}: {message}" for change in changes for message in change.mistakes]
    if not isinstance(document.value, dict):
        if not lines:
            got = "nothing" if document.value is None else "a list" if isinstance(document.value, list) else "a value"
            start = Position(1, 1)
            lines = [(start, f"{_place(path, start)}: expected keys such as data: and train:, got {got}")]
        raise _error(lines, set_lines)

    tree = deepcopy(document.value)  # aliases give one object in several places
    tree.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:100] or "recipe")
    changes = [change for change in changes if not change.mistakes]
    for change in changes:
        apply_override(tree, change)
    recipe, mistakes = validate(tree)
    for mistake in mistakes:
        message = f"{dotted(mistake.path)}: {mistake.message}"
        if cause := _cause(mistake, changes, document):
            set_lines.append(f"--set {cause.text}: {message}")
        else:
            position = _nearest_position(document, mistake.path)
            lines.append((position, f"{_place(path, position)}: {message}"))
    if recipe is None or lines or set_lines:
        raise _error(lines, set_lines)
    return LoadedRecipe(recipe, path, text, sha256_bytes(content))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(4 * LARGEST_TEXT + 1)  # a character takes up to four bytes
    except OSError as error:
        raise UsageError(f"{_shown(path)}: cannot be read: {error.strerror}") from error
    if len(content) > 4 * LARGEST_TEXT:
        raise UsageError(f"{_shown(path)}: longer than {LARGEST_TEXT:,} characters, so not a recipe")
    return content


def _cause(mistake: Mistake, changes: list[Override], document: Document) -> Override | None:
    """The last `--set` that a mistake comes from; None where it is the file's own."""
    for path in (mistake.path, *mistake.involves):
        for change in reversed(changes):
            if path[: len(change.path)] == change.path:
                return change
    if mistake.path in document.positions:
        return None
    for change in reversed(changes):
        if change.path[: len(mistake.path)] == mistake.path:
            return change
    return None


def _nearest_position(document: Document, path: KeyPath) -> Position:
    while path and path not in document.positions:
        path = path[:-1]
    return document.positions.get(path, Position(1, 1))


def _place(path: Path, position: Position) -> str:
    return f"{_shown(path)}:{position.line}:{position.column}"


def _shown(path: Path) -> str:
    working_directory = Path.cwd()
    return str(path.relative_to(working_directory) if path.is_relative_to(working_directory) else path)


def _error(lines: list[tuple[Position, str]], set_lines: list[str]) -> UsageError:
    return UsageError("\n".join([text for _, text in sorted(lines)] + set_lines), remedy=_REMEDY)
