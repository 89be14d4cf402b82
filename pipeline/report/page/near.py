"""How many images of a run look like one of another split."""

from pathlib import Path
from shlex import quote

import numpy as np

from exporters.core.progress import working
from pipeline.data.index import DataIndex
from pipeline.data.inspection.looks import read_looks
from pipeline.data.inspection.near_duplicates import near_duplicates
from pipeline.data.stores.registry import open_store

IMAGES, PIXELS = 20_000, 1_000_000_000
"""More are not decoded for the page: half a minute of a core."""


def near_duplicates_note(index: DataIndex, run: Path) -> str:
    """What the data sheet says of near-duplicates across splits, and the command that shows them.

    Args:
        index: the data of the run.
        run: its directory, as a person types it.
    """
    command = f"tmkd-pipeline data inspect {quote(f'{run}/recipe.lock.yaml')} --html data.html"
    sizes = np.concatenate([split.sizes for split in index.splits.values()])
    if len(sizes) > IMAGES or sizes.astype(np.int64).prod(axis=1).sum() > PIXELS:
        return f"Near-duplicates across splits are not looked for here, in {len(sizes):,} images; {command} finds them."
    keys = [path for split in index.splits.values() for path in split.paths]
    sha256 = np.concatenate([split.sha256 for split in index.splits.values()])
    with working("looking at images", len(keys)) as steps:
        looks = read_looks(open_store(index.store, index.root), keys, sha256, lambda _done, _all: steps.advance())
    if not looks.known.any():
        return "Near-duplicates across splits could not be looked for: the images cannot be read any more."
    with working("comparing them"):
        found = near_duplicates(index.splits, looks)
    counts = ", ".join(f"{len(near):,} of {near.other} like one of {near.split}" for near in found)
    if not counts:
        return f"Near-duplicates across splits: none. {command} shows more about the images."
    return f"Near-duplicates across splits: {counts}. {command} shows them side by side."
