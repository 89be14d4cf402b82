"""Options that several commands share."""

import click

OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. train.epochs=5; repeatable."
)
