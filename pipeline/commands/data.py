"""The commands `data prepare` and `data inspect`."""

import sys
from pathlib import Path

import click

from pipeline.commands.group import LazyGroup
from pipeline.commands.options import OVERRIDES, PATH


@click.group(cls=LazyGroup)
def data() -> None:
    """Fetch data sets, and look at what is in them."""


ROOT = click.option("--root", type=PATH, metavar="DIR", help="The data set's folder.")


@data.command("prepare")
@click.argument("name")
@ROOT
@click.option(
    "--keep-archives/--remove-archives",
    default=True,
    show_default=True,
    help="What to do with archives once they are unpacked.",
)
def prepare_data(name: str, root: Path | None, keep_archives: bool) -> None:
    """Fetch the data set NAME into a folder, and check it.

    Downloads, checks, unpacks and counts. NAME is cifar10, cifar100, cub200, fgvc_aircraft, flowers102, food101,
    oxford_pets, stanford_dogs, stl10, tiny_imagenet, birds_demo or torchvision:<Class>; for imagenet and stanford_cars
    it says what to do by hand. The same command resumes an interrupted download; files that are here already are not
    fetched again.
    """
    from pipeline.console import Console
    from pipeline.data.prepare.prepare import prepare
    from pipeline.data.prepare.report import report_prepared

    console = Console()
    report_prepared(name, prepare(name, root, console, keep_archives=keep_archives), console)


@data.command("inspect")
@click.argument("target")
@ROOT
@OVERRIDES
@click.option("--sheet", type=PATH, metavar="FILE", help="Default: inspect/<data set>.png.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def inspect_data(target: str, root: Path | None, overrides: tuple[str, ...], sheet: Path | None, as_json: bool) -> None:
    """Inspect every image of TARGET, and draw a contact sheet.

    TARGET is a folder of images in class folders, the name of a data set (with --root), or a recipe. Reports
    counts, sizes, formats, duplicates within and across splits, and unreadable or unusual images.
    """
    from exporters.core.files import dump_json
    from pipeline.console import Console
    from pipeline.data.indexing import read_listing
    from pipeline.data.inspection.inspect import default_sheet, inspect
    from pipeline.data.inspection.report import report_inspection
    from pipeline.data.inspection.sheet import check_sheet_place, contact_sheet
    from pipeline.recipe.reading.inspected import inspected_data

    settings, image_size, class_names = inspected_data(target, root, overrides)
    console = Console(sys.stderr if as_json else None)
    listing = read_listing(settings)
    sheet = sheet or default_sheet(settings.dataset)
    check_sheet_place(listing, sheet)
    with console.track("inspecting images", sum(map(len, listing.splits.values()))) as bar:
        found = inspect(settings, listing=listing, progress=lambda _done, _total: bar.advance())
    classes = contact_sheet(found, sheet)
    if as_json:
        click.echo(dump_json({**found.to_json(), "contact_sheet": str(sheet)}), nl=False)
    else:
        report_inspection(settings.dataset, found, console, image_size, class_names)
        console.say(f"contact sheet of {classes:,} classes: {sheet}")
