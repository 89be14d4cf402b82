"""Arguments and options that several commands share."""

from pathlib import Path

import click

from pipeline.stages.names import STAGE_NAMES

PATH = click.Path(path_type=Path)
STAGE = click.Choice(STAGE_NAMES)

RECIPE = click.argument("recipe")
BUNDLE = click.argument("bundle", type=PATH)
OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. train.epochs=5; repeatable."
)
RUN_DIRECTORY = click.option("--run-dir", type=PATH, metavar="DIR", help="Where files go; default: runs/<recipe name>.")
PROVIDER = click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "tensorrt"]),
    default="cpu",
    show_default=True,
    help="Where ONNX Runtime runs; one that is not there is an error.",
)
