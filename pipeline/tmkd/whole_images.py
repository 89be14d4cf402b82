"""CLIP's embeddings of whole training images in each view: what it says of an image, looked at once for a training.

Weights of views that follow from these are the same in every epoch, whatever crop of the image the student sees, so
that CLIP looks at each image once rather than at each of its crops.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from pipeline.tmkd.cache_columns import CacheColumn
from pipeline.tmkd.cache_files import row_shape


class WholeImages:
    """Embeddings `[V, D]` of each training image, kept on disk and computed where they are not there.

    Args:
        folder: where they are kept; whatever they follow from must be in its name.
        images: training images.
        views: what each view is, as of `Views.identities`.
        embed: images `[B, 3, H, W]` in `[0, 1]`, as validation sees them → `[V, B, D]`.
        device: where embeddings are wanted.
        storage: the type in which numbers are kept.
        keep_step: called before each possible call of `embed`, with whether it will be called; where the network is
            sharded, which all processes call together.
    """

    def __init__(
        self,
        folder: Path,
        images: int,
        views: tuple[str, ...],
        embed: Callable[[Tensor], Tensor],
        device: torch.device,
        storage: DTypeLike = np.float32,
        keep_step: Callable[[bool], object] = bool,
    ) -> None:
        self._images = images
        self._embed = embed
        self._device = device
        self._storage = np.dtype(storage)
        self._keep_step = keep_step
        self._paths = [folder / view for view in views]
        self._columns: list[CacheColumn] = []

    def missing(self, indices: np.ndarray) -> np.ndarray:
        """Which images have no embeddings yet: bool `[B]`."""
        if not self._columns:
            files = [path.with_name(f"{path.name}.npy") for path in self._paths]
            if not all(file.is_file() for file in files):
                return np.ones(len(indices), np.bool_)
            self._open(row_shape(files[0]))
        return ~np.logical_and.reduce([column.known(0, indices) for column in self._columns])

    def look(self, images: Tensor, indices: Tensor) -> Tensor:
        """Embeddings `[V, B, D]` float32 of whole images; CLIP looks at those that are missing.

        Args:
            images: `[B, 3, H, W]` in `[0, 1]`, as validation sees them, on the device.
            indices: `[B]` int64, positions in the training split, on the CPU.
        """
        rows = indices.numpy()
        missing = self.missing(rows)
        self._keep_step(bool(missing.any()))
        if missing.any():
            at = torch.from_numpy(missing).to(images.device)
            found = self._embed(images[at].contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
            if not self._columns:
                self._open(found.shape[2:])
            for column, values in zip(self._columns, found, strict=True):
                column.write(0, rows[missing], values)
            self.commit()
        return self(indices)

    def __call__(self, indices: Tensor) -> Tensor:
        """Embeddings `[V, B, D]` float32 on the device, all of which are there."""
        stored = np.stack([column.read(0, indices.numpy()) for column in self._columns])
        return torch.from_numpy(stored).to(self._device).float()

    def commit(self) -> None:
        """Write what was computed so far to the disk."""
        for column in self._columns:
            column.commit()

    def _open(self, shape: tuple[int, ...]) -> None:
        self._columns = [CacheColumn(path, 1, self._images, shape, self._storage) for path in self._paths]
