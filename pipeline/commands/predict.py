"""The command `predict`: labels of images, by a bundle."""

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import BUNDLE, PATH, PRECISION, PROVIDER, as_json
from pipeline.streams import echo, echo_json

if TYPE_CHECKING:
    from exporters.client import Answer, Explanation, Student
    from exporters.runtimes import Provider
    from pipeline.commands.explained import ExplainedFolder


@click.command()
@BUNDLE
@click.argument("images", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Number of labels per image.")
@as_json("an object on a line for each image")
@click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    help="A line for each label: image, rank, label, probability; known, where the bundle tells.",
)
@click.option(
    "--explain",
    "explain_to",
    type=PATH,
    metavar="DIR",
    help="Write each image with the class activation map of its first label over it to DIR.",
)
@click.option(
    "--overwrite", is_flag=True, help="With --explain: DIR may hold files; those of the same names are replaced."
)
@PRECISION
@PROVIDER
def predict(
    bundle: Path,
    images: tuple[str, ...],
    top: int,
    as_json: bool,
    as_csv: bool,
    explain_to: Path | None,
    overwrite: bool,
    precision: str,
    provider: "Provider",
) -> None:
    """Print the most probable labels of IMAGES; needs no torch.

    IMAGES are files, folders (with those below them), patterns in quotes such as "photos/*.jpg", and - for a list of
    paths on standard input, one on a line.

    With --explain, a PNG of each image, <image>_<label>_<per cent>.png, shows where the model looks. It takes a bundle
    that was made with export.onnx.cam: true.

    Where the bundle tells images apart that are unlike its training data (known.score), such images are called so; in
    JSON and CSV, known is then true or false.

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
    if overwrite and explain_to is None:
        raise UsageError("--overwrite is for --explain", remedy="Add --explain DIR, or leave it out.")
    form = "json" if as_json else "csv" if as_csv else None
    student = Student.load(bundle, provider=provider, precision=precision)
    pictures = _pictures(student, explain_to, overwrite=overwrite)
    show = _FORMS[form]
    if form == "csv":
        more = {"known": student.known_rule is not None, "picture": pictures is not None}
        echo(",".join(["image,rank,label,probability", *(name for name, there in more.items() if there)]))
    unreadable = looked_at = 0
    for image in named_images(images, sys.stdin):
        looked_at += 1
        try:
            picture = None
            found: Answer | Explanation
            if pictures is None:
                found = student.answer(image, top=top)
            else:
                found = student.explain(image, top=top)
                picture = pictures.write(image, found)
        except UnreadableImageError as error:
            if len(images) == 1 and image == Path(images[0]):  # it alone was asked for, by its name
                raise
            unreadable += 1  # and nothing of the error is kept, which holds the image
            echo(error.message, err=True)
            continue
        show(image, found, picture)
        if reader_gone() and pictures is None:  # else its work is also what it writes
            break
    if unreadable:
        raise UnavailableError(
            f"{unreadable} of {looked_at} images could not be read",
            remedy="The lines above name them and say why.",
        )


def _pictures(student: "Student", folder: Path | None, *, overwrite: bool) -> "ExplainedFolder | None":
    """The folder of `--explain`; nothing is made where the bundle has no class activation maps."""
    if folder is None:
        return None
    from pipeline.commands.explained import ExplainedFolder

    student.require_cam()
    return ExplainedFolder(folder, overwrite=overwrite)


def _show_text(image: Path, found: "Answer | Explanation", picture: Path | None) -> None:
    echo(f"{image}")
    for label, probability in found.labels:
        echo(f"  {100 * probability:6.2f} %  {label}")
    if found.known is False:
        echo("  probably none of these: unlike the training data")
    if picture is not None:
        echo(f"  picture: {picture}")


def _show_json(image: Path, found: "Answer | Explanation", picture: Path | None) -> None:
    predictions = [{"label": label, "probability": probability} for label, probability in found.labels]
    known = {} if found.known is None else {"known": found.known, "score": found.score}
    shown = {} if picture is None else {"picture": str(picture)}
    echo_json({"image": str(image), "predictions": predictions, **known, **shown}, line=True)


def _show_csv(image: Path, found: "Answer | Explanation", picture: Path | None) -> None:
    text = io.StringIO()
    known = () if found.known is None else (str(found.known).lower(),)
    shown = (*known, *(() if picture is None else (str(picture),)))
    rows = [
        (str(image), rank, label, f"{probability:.6f}", *shown)
        for rank, (label, probability) in enumerate(found.labels, start=1)
    ]
    csv.writer(text, lineterminator="\n").writerows(rows)
    echo(text.getvalue().rstrip("\n"))


_FORMS: dict[str | None, Callable[[Path, "Answer | Explanation", Path | None], None]] = {
    None: _show_text,
    "json": _show_json,
    "csv": _show_csv,
}
