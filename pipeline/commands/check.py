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

    Mistakes exit with 2, missing files with 4; no data is read. Networks are built without their weights, where
    PyTorch is installed. Files that a shipped recipe only suggests, data sets that `data prepare` can fetch, and what
    this machine lacks for a run, are listed and do not fail the check.
    """
    from exporters.core.errors import TmkdError, UnavailableError, UsageError
    from pipeline.preflight.batches import single_image_notes
    from pipeline.preflight.files import unusable_paths
    from pipeline.preflight.without_run import foresee, key_of
    from pipeline.recipe import load_recipe
    from pipeline.recipe.effects import no_effect_note
    from pipeline.stages.registry import STAGES

    console = make_console(False, as_json)
    found: dict[str, Any] = {
        "recipe": recipe,
        "mistakes": [],
        "missing": [],
        "not_here_yet": [],
        "not_on_this_machine": [],
        "notes": [],
        "warnings": [],
    }
    try:
        loaded = load_recipe(recipe, overrides).warned(console.warn)
    except UsageError as error:
        if as_json:
            echo_json(found | {"mistakes": error.message.splitlines()})
        raise
    stages = [stage.name for stage in STAGES if stage.skipped(loaded.recipe) is None]
    missing: dict[bool, list[str]] = {False: [], True: []}
    for named, absent in unusable_paths(loaded.recipe, stages):
        origin = loaded.origin(named.key)
        comes_later = (named.prepared or origin.ships) and named.missing() is not None
        missing[comes_later].append(f"{origin.shown}: {absent}")
    with console.track("building the networks", None):
        ahead = foresee(loaded.recipe, stages)

    def placed(error: TmkdError) -> str:
        key = key_of(error)
        return str(error) if key is None else f"{loaded.origin(key).shown}: {error}"

    mistakes, machine = list(map(placed, ahead.mistakes)), list(map(placed, ahead.machine))
    notes = [note for note in (no_effect_note(loaded), *(f"not looked at: {text}" for text in ahead.left)) if note]
    warnings = list(dict.fromkeys([*single_image_notes(loaded.recipe, stages), *ahead.warnings]))
    if as_json:
        found |= {"mistakes": mistakes, "missing": missing[False], "not_here_yet": missing[True]}
        found |= {"not_on_this_machine": machine, "notes": [*notes, *warnings], "warnings": list(loaded.warnings)}
        echo_json(found)
    if mistakes:
        raise UsageError("\n".join(mistakes + missing[False]))
    if missing[False]:
        raise UnavailableError("\n".join(missing[False] + missing[True]))
    if as_json:
        return
    echo(f"{loaded.path}: no mistakes")
    for note in notes:
        echo(note)
    for warning in (*warnings, *(f"not on this machine: {text}" for text in machine)):
        console.warn(warning)
    for text in missing[True]:
        echo(f"not here yet: {text}")
