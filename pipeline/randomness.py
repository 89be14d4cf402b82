"""Randomness as a function: every random value about data follows from (seed, purpose, epoch, index), not from state.

Philox is counter-based, so that a stream is addressed rather than advanced: the same crop of the same image in the same
epoch comes out whatever ran before, in whichever process, after whatever interruption.
"""

import hashlib
import math
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
    # The first word of the counter is the stream's own position.
    counter = np.array([0, index, epoch, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=_key(seed, purpose), counter=counter))


def batch_generator(seed: int, purpose: str, epoch: int, indices: np.ndarray) -> "BatchGenerator":
    """The streams `generator(seed, purpose, epoch, index)` of many samples, drawn from together.

    Args:
        seed, purpose, epoch: as for `generator`.
        indices: int64 `[B]`, 0 or more.

    Raises:
        OverflowError: a negative epoch or index.
    """
    if epoch < 0 or (len(indices) and int(indices.min()) < 0):
        raise OverflowError("can't convert negative value to unsigned int")
    return BatchGenerator(_key(seed, purpose), epoch, indices)


class BatchGenerator:
    """Draws from the streams of many samples, the same numbers to the bit as each sample's own `generator` gives.

    Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") over arrays, and what numpy's
    `Generator` makes of its words. Making one generator a sample costs several microseconds each; this, for a few
    thousand samples at once, a tenth of one. Made by `batch_generator`.
    """

    def __init__(self, key: np.ndarray, epoch: int, indices: np.ndarray) -> None:
        self._key = key
        self._epoch = np.array([epoch], dtype=np.uint64)
        self._indices = indices.astype(np.uint64)
        self._every = np.arange(len(indices))
        self._words = np.empty((0, len(indices)), dtype=np.uint64)
        self._made = np.zeros(len(indices), dtype=np.int64)  # words of each stream, as many as it has used or more
        self._used = np.zeros(len(indices), dtype=np.int64)
        # numpy takes 32-bit integers from one half of a word, and keeps the other half for the next.
        self._half = np.zeros(len(indices), dtype=np.uint64)
        self._has_half = np.zeros(len(indices), dtype=bool)

    def streams(self, chosen: np.ndarray) -> "BatchGenerator":
        """Some of the streams, at positions int64 `[n]` or where bool `[B]`, from where they are; these stay there."""
        some = BatchGenerator(self._key, int(self._epoch[0]), self._indices[chosen])
        some._words = self._words[:, chosen]
        some._made, some._used = self._made[chosen], self._used[chosen]
        some._half, some._has_half = self._half[chosen], self._has_half[chosen]
        return some

    def random(self, size: int) -> np.ndarray:
        """float64 `[B, size]`, uniform in [0, 1), as `Generator.random(size)` gives each row."""
        drawn = np.empty((len(self._indices), size))
        for column in range(size):
            drawn[:, column] = self._next_word(self._every) >> np.uint64(11)
        return np.divide(drawn, 2**53, out=drawn)

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        """float64 `[B, size]`, uniform in [low, high), as `Generator.uniform(low, high, size)` gives each row."""
        return low + (high - low) * self.random(size)

    def integers(self, low: int | np.ndarray, high: int | np.ndarray, size: int) -> np.ndarray:
        """int64 `[B, size]`, uniform in [low, high), as `Generator.integers(low, high, size)` gives each row.

        Args:
            low, high: one for all, or `[B]`; fewer than 2^32 - 1 apart.
            size: numbers from each stream.

        Raises:
            ValueError: `high` is not above `low`, or too far.
        """
        low, span = np.broadcast_to(low, self._used.shape), np.broadcast_to(np.subtract(high, low), self._used.shape)
        if len(span) and not 0 < int(span.min()) <= int(span.max()) < 2**32 - 1:
            raise ValueError("need high above low, by less than 2^32 - 1")
        return np.stack([low + self._below(span.astype(np.uint64)) for _ in range(size)], axis=1)

    def permutation(self, count: int) -> np.ndarray:
        """int64 `[B, count]`: in each row 0 to count - 1 in the order of `Generator.permutation(count)`."""
        permuted = np.tile(np.arange(count), (len(self._indices), 1))
        rows = self._every
        for last in range(count - 1, 0, -1):  # Fisher and Yates
            chosen = self._up_to(last)
            permuted[rows, chosen], permuted[:, last] = permuted[:, last], permuted[rows, chosen]
        return permuted

    def beta(self, shapes: np.ndarray) -> np.ndarray:
        """float64 `[B]`, as `Generator.beta(shape, shape)` gives for each stream, by Jöhnk's method (1964).

        Args:
            shapes: float64 `[B]`, 0.01 to 1.

        Raises:
            ValueError: a shape beyond, for which numpy takes other methods.
        """
        if len(shapes) and not 0.01 <= float(shapes.min()) <= float(shapes.max()) <= 1:
            raise ValueError("need shapes from 0.01 to 1")
        drawn = np.zeros(len(shapes))
        rows = np.arange(len(shapes))
        while len(rows):
            u, v = ((self._next_word(rows) >> np.uint64(11)).astype(np.float64) / 2**53 for _ in range(2))
            kept = []
            # One at a time, by the C library, whose last bit numpy's own functions need not have.
            for row, first, second, shape in zip(
                rows.tolist(), u.tolist(), v.tolist(), shapes[rows].tolist(), strict=True
            ):
                x, y = first ** (1 / shape), second ** (1 / shape)
                if x + y > 1 or first + second == 0:
                    kept.append(row)
                elif x + y > 0:
                    drawn[row] = x / (x + y)
                else:  # both are too small for a number of 64 bits
                    x, y = (math.log(each) / shape if each else -math.inf for each in (first, second))
                    apart = x - y
                    drawn[row] = math.exp(min(apart, 0) - math.log1p(math.exp(-abs(apart))))
            rows = np.array(kept, dtype=np.int64)
        return drawn

    def _below(self, span: np.ndarray) -> np.ndarray:
        """int64 `[B]` below a span `[B]`, by Lemire's method (2019, arXiv 1805.10941); a span of 1 draws nothing."""
        drawn = np.zeros(len(span), dtype=np.int64)
        rows = np.flatnonzero(span > 1)
        while len(rows):
            product = self._next_half(rows) * span[rows]
            drawn[rows] = product >> _32
            rows = rows[(product & _LOW) < (np.uint64(2**32) - span[rows]) % span[rows]]  # drawn again: one in many
        return drawn

    def _up_to(self, last: int) -> np.ndarray:
        """int64 `[B]` in 0 to `last`: as many low bits as that needs, again where they are more."""
        mask = np.uint64(2 ** last.bit_length() - 1)
        drawn = (self._next_half(self._every) & mask).astype(np.int64)
        rows = np.flatnonzero(drawn > last)
        while len(rows):
            again = (self._next_half(rows) & mask).astype(np.int64)
            drawn[rows] = again
            rows = rows[again > last]
        return drawn

    def _next_half(self, rows: np.ndarray) -> np.ndarray:
        """The next 32 bits of the streams in some rows, as uint64."""
        had = self._has_half[rows]
        halves = self._half[rows]
        fresh = rows if not had.any() else rows[~had]
        if len(fresh):
            words = self._next_word(fresh)
            self._half[fresh] = words >> _32
            if len(fresh) == len(rows):
                halves = words & _LOW
            else:
                halves[~had] = words & _LOW
        self._has_half[rows] = ~had
        return halves

    def _next_word(self, rows: np.ndarray) -> np.ndarray:
        """The next 64 bits of the streams in some rows."""
        used = self._used[rows]
        lacking = rows[used == self._made[rows]]
        if len(lacking):
            self._make(lacking)
        self._used[rows] = used + 1
        if rows is self._every and len(used) and (used == used[0]).all():
            return self._words[used[0]]
        return self._words[used, rows]

    def _make(self, rows: np.ndarray) -> None:
        """The next four words of the streams in some rows; numpy counts blocks from 1."""
        made = self._made[rows]
        room = int(made.max()) + 4 - len(self._words)
        if room > 0:
            more = np.empty((room, len(self._indices)), dtype=np.uint64)
            self._words = np.concatenate([self._words, more]) if len(self._words) else more
        alike = bool((made == made[0]).all())
        number = made[:1] // 4 + 1 if alike else made // 4 + 1
        whole = len(rows) == len(self._indices)
        indices = self._indices if whole else self._indices[rows]
        for place, words in enumerate(self._block(number.astype(np.uint64), indices)):
            if whole and alike:
                self._words[made[0] + place] = words
            else:
                self._words[made + place, rows] = words
        self._made[rows] = made + 4

    def _block(self, number: np.ndarray, indices: np.ndarray) -> list[np.ndarray]:
        """Four words of streams by their indices `[n]` and the number of the block, `[n]` or one for all `[1]`."""
        # What is the same for all streams stays one number, for the rounds in which it does.
        x = [number, indices, self._epoch, np.zeros(1, dtype=np.uint64)]
        key = [int(word) for word in self._key]
        for _ in range(10):
            (high0, low0), (high1, low1) = _multiply(x[0], _MULTIPLIERS[0]), _multiply(x[2], _MULTIPLIERS[1])
            x = [high1 ^ x[1] ^ np.uint64(key[0]), low1, high0 ^ x[3] ^ np.uint64(key[1]), low0]
            key = [(word + weyl) % 2**64 for word, weyl in zip(key, _WEYL, strict=True)]
        return x


_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_32, _LOW = np.uint64(32), np.uint64(2**32 - 1)


def _multiply(words: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """The upper and lower 64 bits of products of 128."""
    high, low = words >> _32, words & _LOW
    factor_high, factor_low = np.uint64(factor >> 32), np.uint64(factor & 0xFFFF_FFFF)
    across = high * factor_low
    middle = (low * factor_low >> _32) + (across & _LOW) + low * factor_high
    return high * factor_high + (across >> _32) + (middle >> _32), words * np.uint64(factor)


def _key(seed: int, purpose: str) -> np.ndarray:
    purpose_key = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")
    return np.array([seed & 0xFFFF_FFFF_FFFF_FFFF, purpose_key], dtype=np.uint64)
