"""The commands `data prepare` and `data inspect`."""

from pathlib import Path

import click

from pipeline.commands.group import LazyGroup
from pipeline.commands.options import OVERRIDES, PATH, QUIET, as_json, make_console
from pipeline.commands.pages import check_page


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
@QUIET
@as_json("what is there")
def prepare_data(name: str, root: Path | None, keep_archives: bool, quiet: bool, as_json: bool) -> None:
    """Fetch the data set NAME into a folder, and check it.

    Downloads, checks, unpacks and counts. NAME is cifar10, cifar100, cub200, fgvc_aircraft, flowers102, food101,
    oxford_pets, stanford_dogs, stl10, tiny_imagenet, birds_demo or torchvision:<Class>; for imagenet and stanford_cars
    it says what to do by hand. The same command resumes an interrupted download; files that are here already are not
    fetched again.
    """
    from pipeline.data.prepare.prepare import prepare
    from pipeline.data.prepare.report import prepared_json, report_prepared
    from pipeline.streams import echo_json

    console = make_console(quiet, as_json)
    prepared = prepare(name, root, console, keep_archives=keep_archives)
    report_prepared(name, prepared, console)
    if as_json:
        echo_json(prepared_json(name, prepared))


@data.command("inspect")
@click.argument("target", required=False)
@ROOT
@OVERRIDES
@click.option("--sheet", type=PATH, metavar="FILE", help="Default: inspect/<data set>.png.")
@click.option("--html", "page", type=PATH, metavar="FILE", help="Write the findings as a page with pictures.")
@click.option(
    "--run",
    type=PATH,
    metavar="RUN_DIR",
    help="Ask the student of this finished run which labels may be wrong.",
)
@click.option(
    "--fail-on",
    metavar="KIND,...",
    default="",
    help="Exit 3 where any was found: unreadable, copies, across_splits, in_several_classes, near_duplicates, "
    "suspicious, label_suspects.",
)
@QUIET
@as_json("the findings")
def inspect_data(
    target: str | None,
    root: Path | None,
    overrides: tuple[str, ...],
    sheet: Path | None,
    page: Path | None,
    run: Path | None,
    fail_on: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Inspect every image of TARGET, and draw a contact sheet.

    TARGET is a folder of images in class folders, the name of a data set (with --root), or a recipe; with --run it may
    be left out, and is the data of that run. Reports counts, sizes, formats, duplicates within and across splits,
    near-duplicates across splits, and unreadable or unusual images; with --run also labels that may be wrong.
    """
    from exporters.core.errors import UsageError
    from pipeline.data.indexing import read_listing
    from pipeline.data.inspection.failing import LABEL_SUSPECTS, counts, kinds_to_fail_on, require_none
    from pipeline.data.inspection.inspect import default_sheet, inspect
    from pipeline.data.inspection.report import report_inspection
    from pipeline.data.inspection.sheet import check_sheet_place, contact_sheet
    from pipeline.data.path_table import printable
    from pipeline.recipe.reading.inspected import inspected_data
    from pipeline.streams import echo_json

    if target is None and run is None:
        raise UsageError("nothing to inspect", remedy="Name a folder, a data set or a recipe; or a run by --run.")
    if page is not None:
        check_page(page)
    kinds = kinds_to_fail_on(fail_on, run is not None)
    console = make_console(quiet, as_json)
    settings, image_size, class_names = inspected_data(
        target or f"{run}/recipe.lock.yaml", root, overrides, console.warn
    )
    listing = read_listing(settings)
    if run is not None:
        from pipeline.explain.suspects import load_student

        load_student(run, listing.classes)  # what is wrong with it is said before all images are read
    sheet = sheet or default_sheet(settings.dataset)
    check_sheet_place(listing, sheet)
    with console.track("inspecting images", sum(map(len, listing.splits.values()))) as bar:
        found = inspect(settings, listing=listing, progress=lambda _done, _total: bar.advance())
    classes = contact_sheet(found, sheet)
    findings, suspects = counts(found), None
    if run is not None:
        from pipeline.explain.suspects import ask_about_labels

        suspects = ask_about_labels(run, listing, found.images(), console)
        findings[LABEL_SUSPECTS] = suspects.count
    if page is not None:
        from pipeline.report.data_page.write import write_data_page

        name = printable(listing.root.resolve().name) if settings.dataset == "folder" else settings.dataset
        write_data_page(name, found, suspects, settings, page, console)
    if as_json:
        told = {**found.to_json(), "contact_sheet": str(sheet)}
        told |= {} if suspects is None else {LABEL_SUSPECTS: suspects.to_json()}
        echo_json({**told, **({} if page is None else {"page": str(page)})})
    else:
        report_inspection(settings.dataset, found, console, image_size, class_names)
        if suspects is not None:
            from pipeline.report.data_page.suspects_text import report_suspects

            report_suspects(suspects, console)
        console.result(f"contact sheet of {classes:,} classes: {sheet}")
        console.say("a page with pictures: --html FILE" if page is None else f"page: {page}")
    require_none(findings, kinds)
