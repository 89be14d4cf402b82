"""The command `predict`: labels of images, by a bundle."""

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import BUNDLE, PRECISION, PROVIDER
from pipeline.streams import echo

if TYPE_CHECKING:
    from exporters.runtimes import Provider

Labels = Sequence[tuple[str, float]]
"""The most probable ones, with their probabilities."""


@click.command()
@BUNDLE
@click.argument("images", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Number of labels per image.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object on a line for each image.")
@click.option("--csv", "as_csv", is_flag=True, help="A line for each label: image, rank, label, probability.")
@PRECISION
@PROVIDER
def predict(
    bundle: Path,
    images: tuple[str, ...],
    top: int,
    as_json: bool,
    as_csv: bool,
    precision: str,
    provider: "Provider",
) -> None:
    """Print the most probable labels of IMAGES; needs no torch.

    IMAGES are files, folders (with those below them), patterns in quotes such as "photos/*.jpg", and - for a list of
    paths on standard input, one on a line.

    An image that cannot be read is named on standard error, and the others are still classified; the exit code is
    then 4.
    """
    from exporters.client import Student
    from exporters.core.errors import UnavailableError, UsageError
    from exporters.images.decoding import UnreadableImageError
    from exporters.images.named import named_images
    from pipeline.streams import reader_gone

    if as_json and as_csv:
        raise UsageError("--json and --csv were both given", remedy="Take one of them.")
    form = "json" if as_json else "csv" if as_csv else None
    student = Student.load(bundle, provider=provider, precision=precision)
    show = _FORMS[form]
    if form == "csv":
        echo("image,rank,label,probability")
    unreadable = looked_at = 0
    for image in named_images(images, sys.stdin):
        looked_at += 1
        try:
            labels = student.predict(image, top=top)
        except UnreadableImageError as error:
            if len(images) == 1 and image == Path(images[0]):  # it alone was asked for, by its name
                raise
            unreadable += 1  # and nothing of the error is kept, which holds the image
            echo(error.message, err=True)
            continue
        show(image, labels)
        if reader_gone():
            break
    if unreadable:
        raise UnavailableError(
            f"{unreadable} of {looked_at} images could not be read",
            remedy="The lines above name them and say why.",
        )


def _show_text(image: Path, labels: Labels) -> None:
    echo(f"{image}")
    for label, probability in labels:
        echo(f"  {100 * probability:6.2f} %  {label}")


def _show_json(image: Path, labels: Labels) -> None:
    predictions = [{"label": label, "probability": probability} for label, probability in labels]
    echo(json.dumps({"image": str(image), "predictions": predictions}, ensure_ascii=False))


def _show_csv(image: Path, labels: Labels) -> None:
    text = io.StringIO()
    rows = [
        (str(image), rank, label, f"{probability:.6f}") for rank, (label, probability) in enumerate(labels, start=1)
    ]
    csv.writer(text, lineterminator="\n").writerows(rows)
    echo(text.getvalue().rstrip("\n"))


_FORMS: dict[str | None, Callable[[Path, Labels], None]] = {None: _show_text, "json": _show_json, "csv": _show_csv}
