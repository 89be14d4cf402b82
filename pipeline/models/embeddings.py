"""Text embeddings of the classes from a file made elsewhere."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from exporters.core.errors import UnavailableError
from exporters.core.wording import first_of
from pipeline.class_names.words import plain_name

_REMEDY = "The file is an .npz with `embeddings` [K, D] (float) and `class_names` [K] (text), one row a class."


def read_embeddings(path: Path, classes: Sequence[str], words: Sequence[str] | None = None) -> Tensor:
    """The embedding of each class of the data set, in its order.

    Names are matched without regard to case, and with `_` and `-` read as spaces: the data set's own, or where the
    file lacks any of these, what prompts call the classes.

    Args:
        path: an `.npz` with `embeddings` `[N, D]` and `class_names` `[N]`; nothing is unpickled.
        classes: K names of the data set.
        words: K names as prompts have them, if these are others.

    Returns:
        `[K, D]` float32, rows of length 1.

    Raises:
        UnavailableError: no such file, not such a file, or classes that it does not have, or has twice.
    """
    if not path.is_file():
        raise UnavailableError(f"no such embeddings file: {path}", remedy=_REMEDY)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            embeddings = np.asarray(arrays["embeddings"], dtype=np.float32)
            names = [str(name) for name in arrays["class_names"]]
    except Exception as error:  # NumPy and zipfile have an error of its own for each kind of damage
        raise UnavailableError(f"{path}: no embeddings file ({error})", remedy=_REMEDY) from error
    if embeddings.ndim != 2 or len(embeddings) != len(names) or not np.isfinite(embeddings).all():
        raise UnavailableError(
            f"{path}: {list(embeddings.shape)} embeddings do not fit {len(names)} names, or are not finite",
            remedy=_REMEDY,
        )
    rows = {plain_name(name): row for row, name in enumerate(names)}
    # One of the two and no mixture: a word for one class may be another one's own name.
    missing, wanted = min(
        (([name for name in spelt if plain_name(name) not in rows], spelt) for spelt in (classes, words or classes)),
        key=lambda found: len(found[0]),
    )
    if missing:
        raise UnavailableError(
            f"{path}: has no embedding for {len(missing)} of the data set's {len(classes)} classes:"
            f" {first_of(missing, 5)}",
            remedy=f"Its names are: {', '.join(names[:5])} …",
        )
    counts = Counter(map(plain_name, names))
    doubled = [name for name in wanted if counts[plain_name(name)] > 1]
    if doubled:
        raise UnavailableError(
            f"{path}: has more than one embedding for {', '.join(doubled[:5])}", remedy="Keep one row a class."
        )
    chosen = torch.from_numpy(embeddings[[rows[plain_name(name)] for name in wanted]])
    return functional.normalize(chosen, dim=-1)
