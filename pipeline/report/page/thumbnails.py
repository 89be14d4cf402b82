"""Small pictures of images, as text that stands in a page."""

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from PIL import Image

from exporters.core.errors import TmkdError
from exporters.core.visible import visible
from pipeline.data.index import DataIndex
from pipeline.data.listing import SplitName
from pipeline.data.path_table import printable
from pipeline.data.stores.registry import open_store

_SIDE = 112


@dataclass(frozen=True)
class Thumbnail:
    """A picture with its words.

    Attributes:
        source: a `data:` address.
        caption: for people.
        path: of the image.
    """

    source: str
    caption: str
    path: str


def thumbnails(index: DataIndex, wanted: Iterable[tuple[SplitName, int, str]]) -> list[Thumbnail]:
    """Pictures of some images; those that cannot be read any more are left out.

    Args:
        index: the data.
        wanted: split, position, caption.
    """
    store, found = open_store(index.store, index.root), []
    for split, position, caption in wanted:
        path = index.splits[split].paths[position]
        if made := thumbnail(partial(store.image, path), caption, printable(path)):
            found.append(made)
    return found


def thumbnail(read: Callable[[], Image.Image], caption: str, path: str, side: int = _SIDE) -> Thumbnail | None:
    """The picture of an image; None for one that cannot be read any more.

    Args:
        read: opens the image.
        caption, path: as of `Thumbnail`; what would steer a terminal in them is written out.
        side: the longest, in pixels.
    """
    try:
        source = data_address(read(), side)
    except (TmkdError, OSError):
        return None
    return Thumbnail(source, visible(caption), visible(path))


def data_address(picture: Image.Image, side: int = _SIDE) -> str:
    """A picture as a JPEG file in a `data:` address, no side longer than that."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
