"""The command `train`: from a folder of photographs to a verified bundle, without a recipe."""

import platform
import shlex
import shutil
import sys
from pathlib import Path

import click

from pipeline.commands.devices import DEVICES, on_devices
from pipeline.commands.options import OVERRIDES, PATH, Running, make_console, running


@click.command()
@click.argument("photos", type=PATH)
@click.option("--student", metavar="MODEL", help="Network that ships; default: mobilenet_v3_small.")
@click.option("--teacher", metavar="MODEL", help="Network that teaches; default: a ResNet that suits the machine.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of the student; default: by its first weights.")
@click.option("--image-size", type=click.IntRange(16, 1024), help="Side in pixels; default: 128, on a GPU 224.")
@OVERRIDES
@click.option("--run-dir", type=PATH, metavar="DIR", help="Where files go; default: runs/<name of the folder>.")
@running
@DEVICES
def train(
    photos: Path,
    student: str | None,
    teacher: str | None,
    epochs: int | None,
    image_size: int | None,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    running: Running,
    devices: int | None,
) -> None:
    """Train a classifier on the folder PHOTOS, without a recipe.

    Writes a commented recipe into the run directory, says what it chose, and runs it as `run` does. PHOTOS has class
    folders, split folders with class folders in them, or a table of labels (`path,label`). Networks start from
    published weights where these are in the local cache or can be fetched. `tmkd-pipeline models list` names networks.
    """
    from pipeline.recipe.reading.overrides import parse_override

    given = {override.path: override.value for override in map(parse_override, overrides)}
    on_devices(
        devices,
        lambda: given.get(("device",), "auto"),
        lambda: _train(photos, student, teacher, epochs, image_size, overrides, run_dir, running),
    )


def _train(
    photos: Path,
    student: str | None,
    teacher: str | None,
    epochs: int | None,
    image_size: int | None,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    running: Running,
) -> None:
    from pipeline.commands.run import run_recipe
    from pipeline.distill.settings import METHOD_NAMES
    from pipeline.recipe.draft import Wishes, check_draft, counted, draft_recipe, name_of, write_draft
    from pipeline.recipe.reading.overrides import parse_override
    from pipeline.runner.rundir import RunDirectory

    given = {override.path: override.value for override in map(parse_override, overrides)}
    method = given.get(("distill", "method"))
    wishes = Wishes(
        photos=photos,
        student=student,
        teacher=teacher,
        epochs=epochs,
        image_size=image_size,
        labels=("data", "labels") in given,
        method=method if method in METHOD_NAMES else None,  # any other is told as the mistake of its --set
        accelerated=_has_accelerator(),
    )
    name = name_of(photos)
    directory = run_dir or Path("runs") / name
    recipe = directory / "recipe.yaml"
    draft = draft_recipe(name, counted(wishes, overrides))
    check_draft(draft, overrides)
    with RunDirectory(directory).held():
        write_draft(draft, recipe)
    console = make_console(running.quiet, running.as_json)
    for note in draft.notes:
        console.say(note)
    options = [f"--run-dir {shlex.quote(str(directory))}", *(f"--set {shlex.quote(change)}" for change in overrides)]
    console.say(f"recipe: {recipe}; the same again: tmkd-pipeline run {shlex.quote(str(recipe))} {' '.join(options)}")
    run_recipe(str(recipe), overrides, directory, running)


def _has_accelerator() -> bool:
    """A guess without torch, so that mistakes are told at once; the run looks properly."""
    return shutil.which("nvidia-smi") is not None or (sys.platform, platform.machine()) == ("darwin", "arm64")
