"""What the page of a data set says in words and tables."""

import numpy as np

from exporters.core.wording import count_of
from exporters.images.left_out import describe_left_out
from pipeline.data.inspection.failing import counts
from pipeline.data.inspection.found import Found
from pipeline.data.inspection.inspect import Inspection
from pipeline.data.inspection.near_duplicates import METHOD
from pipeline.data.path_table import printable
from pipeline.data.settings import DataSettings
from pipeline.explain import suspects
from pipeline.explain.suspects import LabelSuspects
from pipeline.report.page.table import Table
from pipeline.report.page.words import Words

MOST_CLASSES = 2000
"""Classes in the table, at most."""

_STOPS, _GOES_ON = "A run would stop", "Nothing would stop a run"

_SAID = {
    "unreadable": ("unreadable image", "unreadable images"),
    "across_splits": ("image with the same bytes in another split", "images with the same bytes in another split"),
    "in_several_classes": ("image that stands in several classes", "images that stand in several classes"),
    "near_duplicates": ("near-duplicate across splits", "near-duplicates across splits"),
    "copies": ("copy within a split", "copies within a split"),
    "suspicious": ("odd finding", "odd findings"),
}


def words_of_data(inspection: Inspection, found: LabelSuspects | None, settings: DataSettings) -> Words:
    """The texts of the page.

    Args:
        inspection: what was found.
        found: what a student says about labels; None where none was asked.
        settings: the recipe's `data` section, which says what a run does about leaks and unreadable images.
    """
    stops = _stops(inspection, settings)
    tables = {"splits": _splits(inspection), "classes": _classes(inspection), "kinds": _kinds(inspection)}
    tables |= {name: table for name, table in _lists(inspection).items() if table.rows}
    words = Words(_STOPS if stops else _GOES_ON, [*_why(inspection, found), *stops], tables)
    words.notes["near"] = [
        f"Looked for by {METHOD}. Copies of the same bytes are above, and images in nearly one colour are left out."
    ]
    if found is not None:
        words.tables["asked"] = _asked(found)
        words.notes["suspects"] = [
            f"By the student of {found.run}, and {suspects.METHOD}.",
            "The student has seen the labels of the images that it was trained on, and may have learnt wrong ones:"
            " fewer of these are found, and more of what is found is merely hard.",
        ]
    return words


def state_of(words: Words) -> str:
    """The colour of the verdict."""
    return "shipped" if words.verdict == _GOES_ON else "refused"


def _why(inspection: Inspection, found: LabelSuspects | None) -> list[str]:
    listing, total = inspection.listing, sum(map(len, inspection.splits.values()))
    classes = count_of(len(listing.classes), "class", "classes")
    lines = [f"{count_of(total, 'image')} of {classes} in {printable(str(listing.root))}."]
    there = [count_of(count, *_SAID[kind]) for kind, count in counts(inspection).items() if count]
    lines.append(f"Found: {', '.join(there)}." if there else "No copies, near-duplicates or odd images were found.")
    if found is not None:
        lines.append(f"The student contradicts {count_of(found.count, 'label')}.")
    lines += [f"{count_of(count, 'image')} left out of the splits ({key})." for key, count in inspection.unused.items()]
    if listing.ignored:
        lines.append(f"Left out: {describe_left_out(listing.ignored, listing.examples)}.")
    return [*lines, *map(printable, listing.notes), *listing.doubts()]


def _stops(inspection: Inspection, settings: DataSettings) -> list[str]:
    """Why a run would stop, and what helps."""
    lines = []
    if inspection.refusal is not None:
        lines.append(f"A run would stop: {inspection.refusal}.")
    if inspection.leaks and settings.on_leak == "fail":
        lines.append("A run would stop for the same images in two splits; --set data.on_leak=drop leaves them out.")
    if inspection.unreadable.count and settings.on_error == "fail":
        lines.append("A run would stop at unreadable images; --set data.on_error=skip leaves them out.")
    return lines


def _splits(inspection: Inspection) -> Table:
    rows = []
    for name, split in inspection.splits.items():
        own, sizes = inspection.class_counts(name), split.images.sizes
        smallest = int(own.min(initial=0)) if not len(own) else int(own.min())
        ratio = f"{own.max() / smallest:.1f}" if len(own) and smallest else ""
        size = ""
        if len(sizes):
            low, high = sizes.min(axis=0), sizes.max(axis=0)
            size = f"{low[0]} × {low[1]}" + ("" if (low == high).all() else f" to {high[0]} × {high[1]}")
        figures = (len(split), len(split.unreadable), inspection.copies[name].count, smallest, own.max(initial=0))
        rows.append([name, *(f"{figure:,}" for figure in figures), ratio, size])
    columns = ["split", "images", "unreadable", "copies", "smallest class", "largest class", "ratio"]
    return Table("Splits that a run would make", [*columns, "width × height"], rows)


def _classes(inspection: Inspection) -> Table:
    """The smallest in training first: these are where more images are needed."""
    per_split = {name: inspection.class_counts(name) for name in inspection.splits}
    first = next(iter(per_split.values()))
    order = np.argsort(first, kind="stable")[:MOST_CLASSES]
    rows = [
        [inspection.listing.classes[label], *(f"{own[label]:,}" for own in per_split.values())]
        for label in order.tolist()
    ]
    return Table("Images of each class, the smallest first", ["class", *per_split], rows)


def _kinds(inspection: Inspection) -> Table:
    rows = [
        [what, kind, f"{count:,}"]
        for what, counter in (("format", inspection.formats), ("mode", inspection.modes))
        for kind, count in counter.most_common()
    ]
    return Table("Formats and modes of the files", ["", "", "images"], rows, names=2)


def _lists(inspection: Inspection) -> dict[str, Table]:
    """What is named without pictures."""
    copies = {f"within {name}": found for name, found in inspection.copies.items()}
    leaks = {f"{one} in {two}": found for (one, two), found in inspection.leaks.items()}
    return {
        "unreadable": _named("Unreadable images", {"": inspection.unreadable}),
        "leaks": _named("The same bytes in two splits", leaks),
        "copies": _named("The same bytes within a split", copies),
        "conflicts": _named("The same bytes in several classes", {"": inspection.conflicts}),
    }


def _named(title: str, kinds: dict[str, Found]) -> Table:
    rows = []
    for kind, found in kinds.items():
        rows += [[example, kind] for example in found.examples]
        if found.count > len(found.examples):
            rows.append([f"and {found.count - len(found.examples):,} more", kind])
    total = sum(found.count for found in kinds.values())
    return Table(f"{title}: {total:,}", ["image", ""], rows, names=2)


def _asked(found: LabelSuspects) -> Table:
    rows = [
        [what, f"{some.images:,}", f"{100 * some.right / some.images:.2f}" if some.images else "", f"{some.count:,}"]
        for what, some in (("not trained on", found.unseen), ("trained on", found.trained_on))
    ]
    return Table("What the student says", ["images", "number", "label is its answer, %", "labels contradicted"], rows)
