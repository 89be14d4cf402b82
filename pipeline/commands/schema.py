"""The command `schema`: the JSON Schemas of recipes and manifests."""

import click


@click.command()
@click.option(
    "--of",
    type=click.Choice(["recipe", "manifest"]),
    default="recipe",
    show_default=True,
    help="A recipe, or the manifest.json of a bundle.",
)
def schema(of: str) -> None:
    """Print the JSON Schema of recipes, or of a bundle's manifest.

    Editors complete and check recipes by it; readers of bundles check a manifest.
    """
    from exporters.files import dump_json
    from exporters.manifest import SCHEMA
    from pipeline.recipe.json_schema import recipe_json_schema

    text = SCHEMA.read_text(encoding="utf-8") if of == "manifest" else dump_json(recipe_json_schema())
    click.echo(text, nl=False)
