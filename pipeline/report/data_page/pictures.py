"""Small pictures of what was found: single images, and images side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.data.inspection.inspect import Inspection
from pipeline.data.path_table import printable
from pipeline.data.stores.base import Store
from pipeline.data.stores.registry import open_store
from pipeline.explain.suspects import SuspectList
from pipeline.report.page.thumbnails import Thumbnail, thumbnail

PAIRS = 48
"""Of near-duplicates across two splits, shown."""

SUSPECTS = 48
"""Of each kind, shown."""


@dataclass(frozen=True)
class Pair:
    """Two images side by side.

    Attributes:
        one, two: the images; their captions have the split and the class.
        about: how far they are apart.
    """

    one: Thumbnail
    two: Thumbnail
    about: str


@dataclass(frozen=True)
class Shown:
    """Pictures under a heading.

    Attributes:
        heading: what they are.
        about: how many there are, and how many are shown.
        pictures: of single images.
        pairs: of two.
    """

    heading: str
    about: str
    pictures: Sequence[Thumbnail] = ()
    pairs: Sequence[Pair] = ()


def store_of(inspection: Inspection) -> Store:
    """The store of the data set's images."""
    return open_store(inspection.listing.store, inspection.listing.root)


def odd_ones(inspection: Inspection, store: Store) -> Iterator[Shown]:
    """The first images of each kind that is odd."""
    for kind, found in inspection.oddities.items():
        if found.count:
            pictures = [_picture(store, key, words) for key, words in zip(found.keys, found.examples, strict=True)]
            yield Shown(_capital(kind), _some(found.count, len(pictures)), [each for each in pictures if each])


def near_ones(inspection: Inspection, store: Store) -> Iterator[Shown]:
    """The most alike of the near-duplicates across each two splits."""
    splits, classes = inspection.images(), inspection.listing.classes
    for near in inspection.near:
        ours, theirs = splits[near.split], splits[near.other]
        pairs = []
        for there, here, distance, correlation in zip(
            near.positions[:PAIRS].tolist(), near.partners.tolist(), near.distances, near.correlations, strict=False
        ):
            both = [
                _picture(store, split.paths[position], f"{name}, {classes[int(split.labels[position])]}")
                for name, split, position in ((near.other, theirs, there), (near.split, ours, here))
            ]
            if both[0] and both[1]:
                about = f"{distance} of 64 bits, correlation {correlation:.3f}"
                if theirs.labels[there] != ours.labels[here]:
                    about += "; of different classes"
                pairs.append(Pair(both[0], both[1], about))
        heading = f"Images of {near.other} that look like one of {near.split}"
        yield Shown(heading, _some(len(near), len(pairs)), pairs=pairs)


def suspects_shown(heading: str, found: SuspectList, store: Store) -> Shown:
    """The labels that the student contradicts by the widest margins."""
    pictures = [
        _picture(
            store,
            each.key,
            f"{each.split}: {each.label} ({100 * each.of_label:.0f} %), rather {each.answer}"
            f" ({100 * each.of_answer:.0f} %)",
        )
        for each in found.first[:SUSPECTS]
    ]
    return Shown(heading, _some(found.count, len(pictures)), [each for each in pictures if each])


def _some(count: int, shown: int) -> str:
    return f"{count:,}" if shown >= count else f"{count:,}, of which {shown:,} are shown"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _picture(store: Store, key: str, caption: str) -> Thumbnail | None:
    return thumbnail(partial(store.image, key), caption, printable(key), side=144)
