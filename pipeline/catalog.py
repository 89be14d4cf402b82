"""The recipes, prompts, class names and CLIP descriptions that ship with the package."""

import difflib
import shlex
from functools import cache
from pathlib import Path

from exporters.core.errors import UsageError

LIBRARY_CLASS_SETS = ("flowers102", "imagenet")
"""Sets of class names that installed libraries bring along (`pipeline.class_names.libraries`)."""


@cache
def configs_directory() -> Path:
    """The folder `configs`: inside the installed package, else at the top of a clone.

    Raises:
        UsageError: neither is there, so that the installation is damaged.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "_configs", package.parent / "configs"):
        if candidate.is_dir():
            return candidate
    raise UsageError(f"the folder configs is missing from {package}", remedy="Install the package again.")


@cache
def clip_models() -> tuple[str, ...]:
    """Names of the CLIP descriptions in `configs/clip`, sorted."""
    return tuple(sorted(path.stem for path in (configs_directory() / "clip").glob("*.json")))


@cache
def prompt_names() -> tuple[str, ...]:
    """Names of the prompt files in `configs/prompts`, sorted."""
    return tuple(sorted(path.stem for path in (configs_directory() / "prompts").glob("*.yaml")))


@cache
def class_sets() -> tuple[str, ...]:
    """Names of the sets of class names, sorted: those in `configs/classes`, and those of installed libraries."""
    return tuple(
        sorted([*LIBRARY_CLASS_SETS, *(path.stem for path in (configs_directory() / "classes").glob("*.yaml"))])
    )


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted, such as `quickstart`."""
    return sorted(path.stem for path in (configs_directory() / "recipes").glob("*.yaml"))


@cache
def fragment_names() -> tuple[str, ...]:
    """Names of the parts of recipes in `configs/base`, sorted; a recipe extends `base/<name>`."""
    return tuple(sorted(path.stem for path in (configs_directory() / "base").glob("*.yaml")))


def _recipes_beside(path: Path) -> list[str]:
    """YAML files of a path's folder with a name like its own, the nearest first; two at most."""
    try:
        files = [file for file in sorted(path.parent.iterdir()) if file.suffix in (".yaml", ".yml")]
    except OSError:
        return []
    stems = difflib.get_close_matches(path.stem, {file.stem for file in files}, n=2, cutoff=0.7)
    return [str(file) for stem in stems for file in files if file.stem == stem][:2]


def find_recipe(source: str) -> Path:
    """The file of a recipe: a path, else a name below `configs`.

    Args:
        source: a path, or `quickstart`, `recipes/quickstart` or `recipes/quickstart.yaml`.

    Raises:
        UsageError: there is no such file and no such name; names the nearest ones.
    """
    path = Path(source)
    try:
        if path.is_file():
            return path
    except OSError as error:  # such as a name that is too long
        raise UsageError(f"{source[:80]}: cannot be a recipe: {error.strerror}") from error
    name = source.removeprefix("recipes/").removesuffix(".yaml")
    if name in recipe_names():
        return configs_directory() / "recipes" / f"{name}.yaml"
    if path.is_dir():
        recipe = next((file for file in ("recipe.yaml", "recipe.lock.yaml") if (path / file).is_file()), None)
        if recipe is not None:
            remedy = f"It is the folder of a run: its recipe is {path / recipe}."
        else:
            remedy = (
                f"For a folder of images: `tmkd-pipeline train {shlex.quote(source)}` writes the recipe and runs it."
            )
        raise UsageError(f"{source}: expected a recipe, which is one YAML file, got a folder", remedy=remedy)
    nearest = difflib.get_close_matches(Path(name).name.removesuffix(".yml"), recipe_names(), n=3, cutoff=0.5)
    nearest = [*_recipes_beside(path), *nearest][:3]
    hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
    raise UsageError(
        f"{source}: no such file, and no shipped recipe of that name.{hint}",
        remedy="`tmkd-pipeline recipes list` shows the recipes that ship.",
    )
