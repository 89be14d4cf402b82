"""The command `check`: the mistakes of a recipe, and what it needs that is not here."""

import click

from pipeline.commands.options import OVERRIDES, RECIPE


@click.command()
@RECIPE
@OVERRIDES
def check(recipe: str, overrides: tuple[str, ...]) -> None:
    """Report every mistake of RECIPE, and what it names that is missing.

    Mistakes are exit 2, missing files exit 4; no data are read. What a recipe that ships proposes, and a data set that
    `data prepare` fetches, may come later: it is mentioned, and is no reason to fail.
    """
    from exporters.core.errors import UnavailableError
    from pipeline.preflight.batches import single_image_notes
    from pipeline.preflight.files import missing_paths
    from pipeline.recipe import load_recipe
    from pipeline.stages.registry import STAGES

    loaded = load_recipe(recipe, overrides)
    stages = [stage.name for stage in STAGES if stage.skipped(loaded.recipe) is None]
    missing: dict[bool, list[str]] = {False: [], True: []}
    for named, error in missing_paths(loaded.recipe, stages):
        origin = loaded.origin(named.key)
        missing[named.prepared or origin.ships].append(f"{origin.shown}: {error}")
    if missing[False]:
        raise UnavailableError("\n".join(missing[False] + missing[True]))
    click.echo(f"{loaded.path}: no mistakes")
    for note in single_image_notes(loaded.recipe, stages):
        click.echo(f"warning: {note}")
    for text in missing[True]:
        click.echo(f"not here yet: {text}")
