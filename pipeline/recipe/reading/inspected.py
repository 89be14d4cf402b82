"""The `data` section of a data set that is looked at, with or without a recipe."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from exporters.core.errors import UsageError
from pipeline.catalog import find_recipe, recipe_names
from pipeline.data.registry import dataset_names, is_dataset
from pipeline.data.settings import SYNTHETIC_DATASETS, DataSettings
from pipeline.recipe.reading.load import load_recipe
from pipeline.recipe.reading.overrides import parse_override


def inspected_data(
    target: str, root: Path | None, overrides: Sequence[str], warn: Callable[[str], None]
) -> tuple[DataSettings, int | None, str | None]:
    """The settings by which a data set is read.

    Args:
        target: name of a data set, a folder that is read as the data set `folder`, or a recipe as `load_recipe` takes
            it.
        root: in place of the recipe's `data.root`.
        overrides: `a.b=c` texts.
        warn: given the recipe's warnings.

    Returns:
        The settings, the image size where the recipe or an override says it, and `teacher.text.class_names`.

    Raises:
        UsageError: neither a data set nor a folder nor a recipe, a folder and a root beside it, or what `load_recipe`
            raises.
    """
    if not is_dataset(target) and _is_folder(target):
        if root is not None:
            raise UsageError(f"{target} is a folder already, and --root names another", remedy="Leave one of them out.")
        target, root = "folder", Path(target)
    place = [] if root is None else [f"data.root={'./null' if str(root) == 'null' else root}"]
    if is_dataset(target):
        said = {parse_override(text).path for text in overrides}
        if not place and target not in SYNTHETIC_DATASETS and ("data", "root") not in said:
            here = f" For the folder of that name here: ./{target}" if _is_folder(target) else ""
            raise UsageError(f"data set '{target}' is read from a folder", remedy=f"Give it: --root DIR.{here}")
        # Any recipe would do: all that is read of it is given here.
        whole = load_recipe("quickstart", [f"data.dataset={target}", *place, *overrides]).warned(warn).recipe
        size = whole.data.image_size if ("data", "image_size") in said else None
        return whole.data, size, whole.teacher.text.class_names
    try:
        find_recipe(target)
    except UsageError as error:
        known = [*dataset_names(), *recipe_names()]
        nearest = difflib.get_close_matches(target, known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise UsageError(
            f"{target}: neither a folder nor a data set nor a recipe{hint}",
            remedy=f"Data sets: {', '.join(dataset_names())}. `tmkd-pipeline recipes list` shows the recipes.",
        ) from error
    recipe = load_recipe(target, [*place, *overrides]).warned(warn).recipe
    return recipe.data, recipe.data.image_size, recipe.teacher.text.class_names


def _is_folder(target: str) -> bool:
    try:
        return Path(target).is_dir()
    except (OSError, ValueError):  # no path at all: too long, a null character
        return False
