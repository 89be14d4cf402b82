"""Batches of a split that is kept in memory: drawn for and varied several at a time.

What a batch costs beside its images (a call of Python or PyTorch takes about a microsecond) is thus paid once for some.
The batches are the same to the bit as each made by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from exporters.images.preprocessing import Geometry
from pipeline.data.batch_maker import BatchMaker
from pipeline.data.batches import Batch, Crops, Failure, Request, Variation
from pipeline.data.index import DataIndex

DRAWN_TOGETHER = 4096
"""Images that are drawn for at once; this costs a tenth for each."""

_VARIED_PIXELS = 2**20
"""Pixels of images that are varied at once, on a CPU."""


def batches_together(
    maker: BatchMaker, index: DataIndex, requests: Sequence[Request]
) -> Iterator[Batch | Crops | Failure]:
    """The batches of some requests of one split, transform, epoch and device, in their order.

    The batches of a chunk are made together, so that a failure comes in the place of the first of its chunk; nothing
    follows it.
    """
    if not requests:
        return
    transform, largest = requests[0].transform, max(1, len(requests[0].indices))
    if isinstance(transform, Geometry):
        for request in requests:
            yield maker.__getitems__(request)
        return
    varied = 1
    if requests[0].device.type == "cpu":
        varied = max(1, _VARIED_PIXELS // (transform.geometry.size**2 * largest))
    drawn = max(1, DRAWN_TOGETHER // largest)
    drawn = max(1, drawn // varied) * varied
    for first in range(0, len(requests), drawn):
        some = requests[first : first + drawn]
        indices = np.concatenate([request.indices for request in some])
        ends = np.cumsum([0, *(len(request.indices) for request in some)]).tolist()
        variation = Variation.draw(transform, some[0].epoch, indices, index.splits[some[0].split].sizes)
        for start in range(0, len(some), varied):
            bounds = ends[start : start + varied + 1]
            part = slice(bounds[0], bounds[-1])
            made = maker.__getitems__(replace(some[start], indices=indices[part], variation=variation.rows(part)))
            if isinstance(made, Batch):
                yield from made.split([bound - bounds[0] for bound in bounds])
                continue
            yield made
            if isinstance(made, Failure):
                return
