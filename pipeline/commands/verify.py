"""The command `verify`: the proof that a bundle is whole and holds the student alone."""

import sys
from pathlib import Path

import click

from pipeline.commands.options import BUNDLE, PATH


@click.command()
@BUNDLE
@click.option(
    "--data",
    type=PATH,
    metavar="DIR",
    help="Images in a folder for each label: the accuracy is measured again on them.",
)
def verify(bundle: Path, data: Path | None) -> None:
    """Prove that BUNDLE is whole and holds only the student.

    Checks every hash, the golden vectors, and that each number in each model comes from the student. With --data, also
    checks that each model is as accurate as the bundle says.
    """
    from exporters.bundle.accuracy import verify_accuracy
    from exporters.bundle.verify import verify_bundle
    from exporters.core.progress import shown_by
    from pipeline.console import Console

    console = Console(sys.stderr)
    with shown_by(console.track), console.track("verifying", None):
        report = verify_bundle(bundle)
    click.echo(
        f"{bundle}: verified. {report.files} files ({report.size / 1e6:.2f} MB) as packed; {report.tensors} tensors,"
        f" all from the trained model; {report.golden_images} golden images reproduced, largest error of the logits'"
        " scale: " + ", ".join(f"{name} {error:.1e}" for name, error in report.golden_errors.items())
    )
    if data is not None:
        with shown_by(console.track), console.track("measuring the accuracy", None):
            accuracy = verify_accuracy(bundle, report.manifest, data)
        click.echo(f"{data}: {accuracy.describe()}")
