"""What the runs of a comparison are called at a tracker, where the recipe leaves it open."""

from pathlib import Path

from pipeline.recipe.schema.recipe import Recipe
from pipeline.tracking.live import FOLDER


def tracked_as_arm(recipe: Recipe, folder: Path, run: Path) -> Recipe:
    """The recipe of one run: all runs of a comparison are one group, and their trackers keep files in one place.

    Args:
        recipe: of the run.
        folder: of the comparison.
        run: its directory, `<arm>/seed-<number>`, which the run is called by, after `track.name`.
    """
    track = recipe.track
    if not track.to:
        return recipe
    name = f"{run.parent.name}-{run.name}"
    given = (track.name or "").removesuffix(name).strip()  # the lock of such a run has the whole name already
    changes = {
        "group": track.group or folder.absolute().name,
        "name": f"{given} {name}".strip()[-100:],
        "directory": track.directory or str(folder / FOLDER),
    }
    return recipe.model_copy(update={"track": track.model_copy(update=changes)})
