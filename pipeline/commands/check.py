"""The command `check`: the mistakes of a recipe."""

import click

from pipeline.commands.options import OVERRIDES, RECIPE


@click.command()
@RECIPE
@OVERRIDES
def check(recipe: str, overrides: tuple[str, ...]) -> None:
    """Report every mistake of RECIPE at once; data are not touched."""
    from pipeline.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)
    click.echo(f"{loaded.path}: no mistakes")
