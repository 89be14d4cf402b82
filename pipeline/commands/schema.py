"""The command `schema`: the JSON Schemas of recipes and manifests, whole or below a key."""

import click


@click.command()
@click.argument("key", required=False)
@click.option(
    "--of",
    type=click.Choice(["recipe", "manifest"]),
    default="recipe",
    show_default=True,
    help="A recipe, or the manifest.json of a bundle.",
)
def schema(key: str | None, of: str) -> None:
    """Print the JSON Schema of recipes, or of a bundle's manifest.

    With KEY, such as train or distill.views, only the part for that key. Editors use the schema to complete and check
    recipes; readers of bundles use it to check a manifest.
    """
    import json

    from exporters.bundle.manifest import SCHEMA
    from exporters.core.files import dump_json
    from pipeline.recipe.schema.json_schema import recipe_json_schema
    from pipeline.recipe.schema.part import schema_part

    if key in ("recipe", "manifest"):
        of, key = key, None
    if key is not None:
        whole = json.loads(SCHEMA.read_bytes()) if of == "manifest" else recipe_json_schema()
        click.echo(json.dumps(schema_part(whole, key), indent=2, ensure_ascii=False))
        return
    click.echo(SCHEMA.read_text(encoding="utf-8") if of == "manifest" else dump_json(recipe_json_schema()), nl=False)
