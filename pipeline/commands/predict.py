"""The command `predict`: labels of images, by a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import BUNDLE, PATH, PRECISION, PROVIDER
from pipeline.streams import echo

if TYPE_CHECKING:
    from exporters.runtimes import Provider


@click.command()
@BUNDLE
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Number of labels per image.")
@PRECISION
@PROVIDER
def predict(bundle: Path, images: tuple[Path, ...], top: int, precision: str, provider: "Provider") -> None:
    """Print the most probable labels of IMAGES; needs no torch.

    An image that cannot be read is named on standard error, and the others are still classified; the exit code is
    then 4.
    """
    from exporters.client import Student
    from exporters.core.errors import UnavailableError
    from exporters.images.decoding import UnreadableImageError
    from pipeline.streams import reader_gone

    student = Student.load(bundle, provider=provider, precision=precision)
    unreadable: list[UnreadableImageError] = []
    for image in images:
        try:
            labels = student.predict(image, top=top)
        except UnreadableImageError as error:
            if len(images) == 1:
                raise
            unreadable.append(error)
            echo(error.message, err=True)
            continue
        echo(f"{image}")
        for label, probability in labels:
            echo(f"  {100 * probability:6.2f} %  {label}")
        if reader_gone():
            break
    if unreadable:
        raise UnavailableError(
            f"{len(unreadable)} of {len(images)} images could not be read",
            remedy="The lines above name them and say why.",
        )
