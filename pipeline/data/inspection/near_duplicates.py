"""Images of one split that look like an image of another, though their bytes differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.index import IndexedSplit
from pipeline.data.inspection.hash_search import close_pairs
from pipeline.data.inspection.looks import FLAT, Looks
from pipeline.data.listing import SPLITS, SplitName
from pipeline.data.path_table import printable

RADIUS = 10
"""Bits of 64 in which the hashes of two images differ at most that are compared."""

ALIKE = 0.9
"""Correlation of grey values from which two such images count as near-duplicates."""

METHOD = (
    f"perceptual hashes (DCT, 64 bits) that differ in at most {RADIUS} bits, and grey values at 16 × 16 pixels with a"
    f" correlation of at least {ALIKE}"
)

COMPARED = 256
"""Once an image has been compared with so many others, its best one so far is good enough: where most images of a data
set are alike, each would be compared with all."""

LISTED = 1000
"""Pairs that are named, at most."""


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Images of one split with a near-duplicate in another, each with the one that is most like it; most like first.

    Attributes:
        split: the one that is nearer to training.
        other: the one whose images are counted.
        positions: int64 `[P]`, of the images of `other`, each once.
        partners: int64 `[P]`, in `split`.
        distances: uint8 `[P]`, bits in which the hashes differ.
        correlations: float32 `[P]`, of grey values, in [-1, 1].
    """

    split: SplitName
    other: SplitName
    positions: np.ndarray
    partners: np.ndarray
    distances: np.ndarray
    correlations: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def to_json(self, splits: Mapping[SplitName, IndexedSplit], classes: list[str]) -> dict[str, Any]:
        """The number of images, and the pairs, at most `LISTED`."""
        ours, theirs = splits[self.split], splits[self.other]
        rows = zip(self.positions[:LISTED].tolist(), self.partners[:LISTED].tolist(), strict=True)
        return {
            "count": len(self),
            "pairs": [
                {
                    self.other: printable(theirs.paths[there]),
                    f"{self.other}_class": classes[int(theirs.labels[there])],
                    self.split: printable(ours.paths[here]),
                    f"{self.split}_class": classes[int(ours.labels[here])],
                    "distance": int(distance),
                    "correlation": round(float(correlation), 4),
                }
                for (there, here), distance, correlation in zip(
                    rows, self.distances[:LISTED], self.correlations[:LISTED], strict=True
                )
            ],
        }


def near_duplicates(splits: Mapping[SplitName, IndexedSplit], looks: Looks) -> list[NearDuplicates]:
    """The near-duplicates across each two splits that have any.

    Not counted: the same bytes, which are copies, and images whose grey values differ so little that they show nothing
    (`FLAT`). Brightness and contrast do not matter, since they change no correlation.

    Args:
        splits: of a data set.
        looks: of all their images.
    """
    names = [name for name in SPLITS if name in splits]
    rows = {name: looks.rows(splits[name].sha256) for name in names}
    shows = looks.known & (looks.spreads >= FLAT)
    found = []
    for number, split in enumerate(names):
        for other in names[number + 1 :]:
            pairs = _across(looks, shows, rows[other], rows[split])
            if len(pairs[0]):
                found.append(NearDuplicates(split, other, *pairs))
    return found


def _across(
    looks: Looks, shows: np.ndarray, theirs: np.ndarray, ours: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each of `theirs` that has any, the one of `ours` that is most like it; see `NearDuplicates`.

    Args:
        looks: of all images.
        shows: bool `[N]`, those that can be compared.
        theirs, ours: rows of `looks`, int64; the same bytes have the same row.
    """
    there, here = np.flatnonzero(shows[theirs]), np.flatnonzero(shows[ours])
    their_rows, our_rows = theirs[there], ours[here]
    best = np.full(len(there), -1, np.float32)
    partners, apart = np.zeros(len(there), np.int64), np.zeros(len(there), np.uint8)
    compared = np.zeros(len(there), np.int64)
    enough = np.zeros(len(there), bool)
    for pairs in close_pairs(looks.hashes[their_rows], looks.hashes[our_rows], RADIUS, skip=enough):
        differ = their_rows[pairs[0]] != our_rows[pairs[1]]
        some, others, distances = (part[differ] for part in pairs)
        for portion in _closest_first(some, distances):
            rows = portion[~enough[some[portion]]]
            images, candidates = some[rows], others[rows]
            alike = correlations(looks.pictures[their_rows[images]], looks.pictures[our_rows[candidates]])
            # Rising, so that the last of each image is its best; of equals, the first candidate.
            order = np.lexsort((-candidates, alike))
            order = order[alike[order] > best[images[order]]]
            best[images[order]], partners[images[order]] = alike[order], candidates[order]
            apart[images[order]] = distances[rows][order]
            np.add.at(compared, images, 1)
            enough[:] = (best >= ALIKE) & (compared >= COMPARED)
    found = np.flatnonzero(best >= ALIKE)
    found = found[np.argsort(-best[found], kind="stable")]
    return there[found], here[partners[found]], apart[found], best[found]


def _closest_first(images: np.ndarray, distances: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of pairs in portions, each with at most `COMPARED` rows of an image, those at the least distance first."""
    order = np.lexsort((distances, images))
    sorted_images = images[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_images, sorted_images)
    for portion in range(0, int(rank.max(initial=-1)) + 1, COMPARED):
        yield order[(rank >= portion) & (rank < portion + COMPARED)]


def correlations(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Pearson's correlation of pictures row by row, float32 `[P]`, of uint8 `[P, S]` each; 0 where one is uniform."""
    found = np.empty(len(ours), np.float32)
    for start in range(0, len(ours), 1 << 14):
        one, two = (part[start : start + (1 << 14)].astype(np.float32) for part in (ours, theirs))
        one -= one.mean(axis=1, keepdims=True)
        two -= two.mean(axis=1, keepdims=True)
        scale = np.sqrt((one * one).sum(axis=1) * (two * two).sum(axis=1))
        found[start : start + (1 << 14)] = (one * two).sum(axis=1) / np.where(scale > 0, scale, np.inf)
    return found
