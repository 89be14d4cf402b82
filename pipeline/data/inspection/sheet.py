"""A contact sheet: a few images of each class, with its name, on one picture."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from exporters.core.errors import TmkdError, UsageError
from exporters.core.files import atomic_path
from exporters.images.outputs import mark_output
from pipeline.data.inspection.inspect import Inspection
from pipeline.data.listing import Listing
from pipeline.data.stores.base import Store
from pipeline.data.stores.registry import open_store

SIDE, GAP, LINE = 64, 4, 14
"""Pixels: of an image, between two, and of a name."""
MOST_CLASSES = 1000


def images_per_class(classes: int) -> int:
    """Fewer the more classes there are, so that 10, 200 and 1,000 classes give sheets that a screen shows."""
    return 8 if classes <= 12 else 6 if classes <= 50 else 4 if classes <= 400 else 2


def contact_sheet(inspection: Inspection, path: Path) -> int:
    """Draw the sheet.

    Args:
        inspection: what was found; images come from the training split, spread over each class.
        path: a PNG file, replaced where it is there.

    Returns:
        Number of classes on it: all, or `MOST_CLASSES` spread over them.
    """
    store = open_store(inspection.listing.store, inspection.listing.root)
    listing, split = inspection.listing, inspection.splits["train"].images
    classes = len(listing.classes)
    shown = _spread(np.arange(classes), MOST_CLASSES)
    images = images_per_class(len(shown))
    width, height = images * (SIDE + GAP) + 2 * GAP, LINE + SIDE + 2 * GAP
    columns = max(1, round((len(shown) * height / width) ** 0.5))
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    order = np.argsort(split.labels, kind="stable")
    starts = np.searchsorted(split.labels[order], np.arange(classes + 1))
    for number, label in enumerate(shown):
        x, y = GAP + number % columns * width, GAP + number // columns * height
        _write(pen, font, (x, y), listing.classes[label], width - 3 * GAP)
        members = order[starts[label] : starts[label + 1]]
        for place, member in enumerate(_spread(members, images)):
            image = _small(store, split.paths[member])
            if image is not None:
                sheet.paste(image, (x + place * (SIDE + GAP), y + LINE))
    mark_output(path.parent)
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG")
    return len(shown)


def check_sheet_place(listing: Listing, path: Path) -> None:
    """Refuse a place where the sheet would be the next image of a class.

    Raises:
        UsageError: images of the data set lie in the sheet's folder, or below it.
    """
    folder, root = path.parent.resolve(), listing.root.resolve()
    if listing.store != "files" or folder == root or not folder.is_relative_to(root):
        return
    inside = f"{folder.relative_to(root).as_posix()}/"
    if any(image.startswith(inside) for split in listing.splits.values() for image in split.paths):
        raise UsageError(
            f"--sheet {path}: images of the data set lie in {path.parent}, and the sheet would be one of them",
            remedy="Give a file in another folder.",
        )


def _spread(values: np.ndarray, most: int) -> list[int]:
    """At most so many of the values, evenly spread."""
    count = min(most, len(values))
    return [int(values[i * len(values) // count]) for i in range(count)]


def _small(store: Store, key: str) -> Image.Image | None:
    try:
        return ImageOps.fit(store.image(key), (SIDE, SIDE), Image.Resampling.BILINEAR)
    except (TmkdError, OSError):
        return None  # it was readable a moment ago, and the sheet is a picture, not a proof


def _write(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    place: tuple[int, int],
    text: str,
    width: int,
) -> None:
    """A name, cut where it is too long; letters that the font does not have become boxes or question marks."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        text = text.encode("latin-1", "replace").decode("latin-1")
    if pen.textlength(text, font) > width:
        while text and pen.textlength(f"{text}...", font) > width:
            text = text[:-1]
        text += "..."
    pen.text(place, text, fill=(0, 0, 0), font=font)
