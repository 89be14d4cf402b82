"""The command `check`: the mistakes of a recipe, and what it needs that is not here."""

import click

from pipeline.commands.options import OVERRIDES, RECIPE
from pipeline.streams import echo


@click.command()
@RECIPE
@OVERRIDES
def check(recipe: str, overrides: tuple[str, ...]) -> None:
    """Report every mistake in RECIPE and every file missing for it.

    Mistakes exit with 2, missing files with 4; no data is read. Files that a shipped recipe only suggests, and data
    sets that `data prepare` can fetch, are listed as not here yet and do not fail the check.
    """
    from exporters.core.errors import UnavailableError
    from pipeline.preflight.batches import single_image_notes
    from pipeline.preflight.files import missing_paths
    from pipeline.recipe import load_recipe
    from pipeline.recipe.effects import no_effect_note
    from pipeline.stages.registry import STAGES

    loaded = load_recipe(recipe, overrides)
    stages = [stage.name for stage in STAGES if stage.skipped(loaded.recipe) is None]
    missing: dict[bool, list[str]] = {False: [], True: []}
    for named, error in missing_paths(loaded.recipe, stages):
        origin = loaded.origin(named.key)
        missing[named.prepared or origin.ships].append(f"{origin.shown}: {error}")
    if missing[False]:
        raise UnavailableError("\n".join(missing[False] + missing[True]))
    echo(f"{loaded.path}: no mistakes")
    if note := no_effect_note(loaded):
        echo(note)
    for note in single_image_notes(loaded.recipe, stages):
        echo(f"warning: {note}")
    for text in missing[True]:
        echo(f"not here yet: {text}")
