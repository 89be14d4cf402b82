"""What is known of the files outside of a run directory that a stage reads: a part of its fingerprint."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.core.errors import TmkdError, UnavailableError
from exporters.core.files import sha256_file
from pipeline.class_names.words import class_names_file, names_in_file
from pipeline.models.weight_files import checked_sha256
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import digest

if TYPE_CHECKING:
    pass


def class_names_digest(recipe: Recipe) -> dict[str, str]:
    """The digest of what the file of class names says, where there is one."""
    source = recipe.teacher.text.class_names
    found = {} if source is None else described_file(class_names_file(source), names_in_file)
    return {f"class names {name}": content for name, content in found.items()}


def described_file(path: Path, read: Callable[[Path], Any]) -> dict[str, str]:
    """The digest of what a text file says, by the file's name; empty where there is no such file.

    Args:
        path: of the file.
        read: gives what it says as a JSON value, so that a comment or another layout is no change. A file that it
            cannot read, which is refused before anything runs, is known by its bytes.
    """
    if not path.is_file():
        return {}
    try:
        return {path.name: digest(read(path))}
    except (TmkdError, ValueError, OSError):
        return {path.name: sha256_file(path)}


def weights_file(weights: str, sha256: str | None = None, section: str = "") -> dict[str, str]:
    """The digest of a weights file by name; empty where `weights` names no file that is there.

    It is part of a stage's fingerprint, so that a stage is not reused either where the recipe means another file.

    Args:
        weights: what a recipe says.
        sha256: what the file must be; None: anything.
        section: of the recipe, for the message.

    Raises:
        UnavailableError: the file is another one.
    """
    path = Path(weights).expanduser()
    try:
        return {path.name: checked_sha256(path, sha256)} if path.is_file() else {}
    except UnavailableError as error:
        error.message = f"{section}: {error.message}"
        raise
