"""The command `predict`: labels of images, by a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import BUNDLE, PATH, PROVIDER

if TYPE_CHECKING:
    from exporters.runtimes import Provider


@click.command()
@BUNDLE
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many labels.")
@click.option("--precision", default="fp32", show_default=True, help="Which of the bundle's models.")
@PROVIDER
def predict(bundle: Path, images: tuple[Path, ...], top: int, precision: str, provider: "Provider") -> None:
    """Print the most probable labels of IMAGES; needs no torch."""
    from exporters.client import Student

    student = Student.load(bundle, provider=provider, precision=precision)
    for image in images:
        click.echo(f"{image}")
        for label, probability in student.predict(image, top=top):
            click.echo(f"  {100 * probability:6.2f} %  {label}")
