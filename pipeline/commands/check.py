"""The command `check`: the mistakes of a recipe, and what it needs that is not here."""

from typing import Any

import click

from pipeline.commands.options import OVERRIDES, RECIPE, as_json, make_console
from pipeline.streams import echo, echo_json


@click.command()
@RECIPE
@OVERRIDES
@as_json("what was found")
def check(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Report every mistake in RECIPE and every file missing for it.

    Mistakes exit with 2, missing files with 4; no data is read. Files that a shipped recipe only suggests, and data
    sets that `data prepare` can fetch, are listed as not here yet and do not fail the check.
    """
    from exporters.core.errors import UnavailableError, UsageError
    from pipeline.preflight.batches import single_image_notes
    from pipeline.preflight.files import missing_paths
    from pipeline.recipe import load_recipe
    from pipeline.recipe.effects import no_effect_note
    from pipeline.stages.registry import STAGES

    console = make_console(False, as_json)
    found: dict[str, Any] = {
        "recipe": recipe,
        "mistakes": [],
        "missing": [],
        "not_here_yet": [],
        "notes": [],
        "warnings": [],
    }
    try:
        loaded = load_recipe(recipe, overrides).warned(console.warn)
    except UsageError as error:
        if as_json:
            echo_json(found | {"mistakes": error.message.splitlines()})
        raise
    found["warnings"] = list(loaded.warnings)
    stages = [stage.name for stage in STAGES if stage.skipped(loaded.recipe) is None]
    missing: dict[bool, list[str]] = {False: [], True: []}
    for named, absent in missing_paths(loaded.recipe, stages):
        origin = loaded.origin(named.key)
        missing[named.prepared or origin.ships].append(f"{origin.shown}: {absent}")
    if as_json:
        notes = [note for note in (no_effect_note(loaded),) if note]
        notes += single_image_notes(loaded.recipe, stages)
        echo_json(found | {"missing": missing[False], "not_here_yet": missing[True], "notes": notes})
    if missing[False]:
        raise UnavailableError("\n".join(missing[False] + missing[True]))
    if as_json:
        return
    echo(f"{loaded.path}: no mistakes")
    if note := no_effect_note(loaded):
        echo(note)
    for note in single_image_notes(loaded.recipe, stages):
        console.warn(note)
    for text in missing[True]:
        echo(f"not here yet: {text}")
