"""`load_recipe`: a recipe read and checked, with what a notebook changes in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.recipe.reading.load import LoadedRecipe
    from pipeline.recipe.reading.overrides import Override
    from pipeline.recipe.schema.recipe import Recipe


@dataclass(frozen=True, repr=False)
class CheckedRecipe:
    """A recipe without mistakes, for `run` and `compare`.

    Attributes:
        source: what was given: a name, a path, or keys and values.
        overrides: the keys that were changed.
    """

    source: str | Path | Mapping[str, Any]
    overrides: Mapping[str, Any]
    loaded: "LoadedRecipe" = field(compare=False)

    @property
    def name(self) -> str:
        """Of the recipe; runs go to `runs/<name>` unless told otherwise."""
        return self.settings.name

    @property
    def settings(self) -> "Recipe":
        """Every key with its value, defaults included: `recipe.settings.train.epochs`."""
        return self.loaded.recipe

    @property
    def changes(self) -> "tuple[Override, ...]":
        """The overrides as the reader of recipes takes them."""
        return changes_of(self.overrides)

    def to_yaml(self) -> str:
        """The whole recipe, every default written out."""
        return self.settings.to_yaml()

    def __repr__(self) -> str:
        """The name, where it comes from, and what was changed."""
        source = "keys and values" if isinstance(self.source, Mapping) else str(self.loaded.path)
        changed = "".join(f", {change.text}" for change in self.changes)
        return f"<recipe {self.name} from {source}{changed}>"


def load_recipe(source: str | Path | Mapping[str, Any], *, overrides: Mapping[str, Any] | None = None) -> CheckedRecipe:
    """Read and check a recipe, without touching data or importing torch.

    Args:
        source: a path, the name of a recipe that ships (`quickstart`), or the recipe's keys and values as a
            dictionary; paths in it are relative to the working directory.
        overrides: key → value, such as `{"train.epochs": 3}`; what `--set` is on the command line.

    Raises:
        UsageError: no such recipe, or mistakes: one error with a line for each, saying where it is, what was expected
            and what was found.
    """
    from pipeline.recipe.reading.load import load_recipe as read
    from pipeline.recipe.reading.values import plain_values

    changed = plain_values(_mapping(overrides or {}), "overrides")
    given = plain_values(source, "recipe") if isinstance(source, Mapping) else source
    return CheckedRecipe(given, changed, read(given, changes_of(changed)))


def checked(recipe: CheckedRecipe | str | Path | Mapping[str, Any]) -> CheckedRecipe:
    """A recipe as `load_recipe` gives it, from anything that it takes."""
    return recipe if isinstance(recipe, CheckedRecipe) else load_recipe(recipe)


def changes_of(overrides: Mapping[str, Any]) -> "tuple[Override, ...]":
    """The changes of plain values."""
    from pipeline.recipe.reading.overrides import override_of

    return tuple(override_of(key, value) for key, value in overrides.items())


def _mapping(overrides: Any) -> Mapping[str, Any]:
    from exporters.core.errors import UsageError

    if not isinstance(overrides, Mapping):
        raise UsageError(
            f"overrides: expected a dictionary such as {{'train.epochs': 3}}, got {type(overrides).__name__}"
        )
    return overrides
