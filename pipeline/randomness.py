"""Randomness as a function: every random value about data follows from (seed, purpose, epoch, index), not from state.

Philox is counter-based, so that a stream is addressed rather than advanced: the same crop of the same image in the same
epoch comes out whatever ran before, in whichever process, after whatever interruption.
"""

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Samples(NamedTuple):
    """The training images of a batch, as draws about them are addressed.

    Attributes:
        indices: `[B]` int64, positions in the training split, on the CPU; each at most once.
        epoch: number of the epoch, from 0.
        partners: `[B]` int64, the label of what each image is mixed with; None where images are not mixed.
        shares: `[B]` float32, the share of its own label in [0.5, 1]; None likewise.
    """

    indices: "Tensor"
    epoch: int
    partners: "Tensor | None" = None
    shares: "Tensor | None" = None


def generator(seed: int, purpose: str, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """The random stream of one purpose, epoch and sample.

    Args:
        seed: the recipe's `seed` (or `data.split_seed`), 0 or more.
        purpose: what is sampled, such as `"order"` or `"crop"`; different purposes give independent streams.
        epoch: number of the epoch, from 0.
        index: the sample's index in its split, from 0.
    """
    purpose_key = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")
    key = np.array([seed & 0xFFFF_FFFF_FFFF_FFFF, purpose_key], dtype=np.uint64)
    # The first word of the counter is the stream's own position.
    counter = np.array([0, index, epoch, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
