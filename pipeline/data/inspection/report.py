"""What was found in a data set, for a person."""

from collections.abc import Mapping
from typing import Protocol

from exporters.core.wording import count_of
from exporters.images.left_out import describe_left_out
from pipeline.class_names.words import code_name_warning, readable_name
from pipeline.data.index import IndexedSplit
from pipeline.data.inspection.found import EXAMPLES, Found
from pipeline.data.inspection.inspect import Inspection
from pipeline.data.inspection.near_duplicates import NearDuplicates
from pipeline.data.listing import SplitName
from pipeline.data.path_table import printable


class Page(Protocol):
    """Where lines and tables go; `pipeline.console.Console` is one."""

    def say(self, text: str) -> None:
        """Show a line."""

    def warn(self, text: str) -> None:
        """Show a line that must not be overlooked."""

    def table(self, title: str, columns: list[str], rows: list[list[str]], words: int = 1) -> None:
        """Show a table."""


def report_inspection(
    name: str, inspection: Inspection, page: Page, image_size: int | None, class_names: str | None = None
) -> None:
    """Tables and lines; what is wrong comes last.

    Args:
        name: of the data set.
        inspection: what was found.
        page: where it goes.
        image_size: `data.image_size`, to count images that are smaller; None where no recipe says it.
        class_names: `teacher.text.class_names`; None: the classes' own names go into prompts.
    """
    listing = inspection.listing
    rows = []
    for split, found in inspection.splits.items():
        counts = inspection.class_counts(split)
        smallest, largest = int(counts.argmin()), int(counts.argmax())
        rows.append(
            [
                split,
                f"{counts[smallest]:,} ({listing.classes[smallest]})",
                f"{counts[largest]:,} ({listing.classes[largest]})",
                f"{len(found):,}",
                f"{len(found.unreadable):,}",
                f"{inspection.copies[split].count:,}",
            ]
        )
    page.table(
        f"{name}: {len(listing.classes):,} classes in {listing.root}",
        ["split", "smallest class", "largest class", "images", "unreadable", "copies"],
        rows,
        words=3,
    )
    if "validation" not in inspection.splits:
        page.say("validation is split from training by the stage data")
    elif "validation" not in listing.splits:
        drawn, whole = len(inspection.splits["validation"]), len(listing.splits["train"])
        page.say(f"validation: {drawn:,} of the {whole:,} training images, set aside as the stage data does it")
    for setting, count in inspection.unused.items():
        page.say(f"{count_of(count, 'image')} left out of these splits ({setting})")
    _tell_sizes(inspection, page, image_size)
    for title, counter in (("formats", inspection.formats), ("modes", inspection.modes)):
        page.say(f"{title}: " + ", ".join(f"{kind} {count:,}" for kind, count in counter.most_common()))
    if listing.ignored:
        page.say(f"left out: {describe_left_out(listing.ignored, listing.examples)}")
    for note in listing.notes:
        page.say(note)
    for split, copies in inspection.copies.items():
        _report(page, f"copies within {split}", copies)
    _report(page, "the same image in several classes", inspection.conflicts, warn=True)
    for kind, odd in inspection.oddities.items():
        _report(page, kind, odd)
    for (one, two), leak in inspection.leaks.items():
        _report(page, f"images of {one} that stand in {two} too (data.on_leak)", leak, warn=True)
    for near in inspection.near:
        about = f"images of {near.other} that look like one of {near.split}, though their bytes differ"
        _report(page, about, described_pairs(near, inspection.images()), warn=True)
    for doubt in listing.doubts():
        page.warn(doubt)
    if class_names is None and (warning := code_name_warning([readable_name(name) for name in listing.classes])):
        page.warn(warning)
    if not inspection.leaks:
        page.say("no image stands in two splits")
    _report(page, "unreadable images (data.on_error)", inspection.unreadable, warn=True)
    if inspection.refusal is not None:
        page.warn(f"a run would stop: {inspection.refusal}")


def described_pairs(near: NearDuplicates, splits: Mapping[SplitName, IndexedSplit]) -> Found:
    """Near-duplicates in words, the most alike first."""
    ours, theirs = splits[near.split].paths, splits[near.other].paths
    found = Found(len(near))
    for there, here, distance, correlation in zip(
        near.positions[:EXAMPLES].tolist(), near.partners, near.distances, near.correlations, strict=False
    ):
        key, words = theirs[there], f"{distance} of 64 bits differ, correlation {correlation:.3f}"
        found.examples.append(f"{printable(key)} ~ {printable(ours[int(here)])} ({words})")
        found.keys.append(key)
    return found


def _tell_sizes(inspection: Inspection, page: Page, image_size: int | None) -> None:
    sides = inspection.sides()
    if not len(sides):
        return
    facts = inspection.to_json()
    pixels = "; ".join(
        f"{what} {_range(facts[key])}"
        for key, what in (("width", "width"), ("height", "height"), ("shorter_side", "shorter side"))
    )
    page.say(f"pixels: {pixels}")
    if image_size is not None:
        small = int((sides.min(axis=1) < image_size).sum())
        page.say(f"{small:,} of {len(sides):,} images are smaller than data.image_size ({image_size} px)")


def _range(values: dict[str, float]) -> str:
    if values["min"] == values["max"]:
        return f"{values['min']:,}"
    return f"{values['min']:,} to {values['max']:,}, median {values['median']:,.0f}"


def _report(page: Page, what: str, found: Found, warn: bool = False) -> None:
    if not found.count:
        return
    (page.warn if warn else page.say)(f"{what}: {found.count:,}")
    for example in found.examples:
        page.say(f"    {example}")
    if found.count > len(found.examples):
        page.say(f"    and {found.count - len(found.examples):,} more")
