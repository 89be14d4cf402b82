"""The teachers' outputs for each view of each augmented image, kept on disk: a repeated epoch runs no teacher.

Augmentation is a function of (seed, epoch, index). With its epochs in a cycle the teachers' outputs repeat too, and
a training epoch then costs little more than the student alone. What is kept comes before labels and view weights, so
that one cache serves every loss weight, view weighting and student.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor
from torch.nn import functional

from pipeline.models.outputs import NetworkOutput
from pipeline.tmkd.cache_columns import STAGE, CacheColumn
from pipeline.tmkd.cache_files import row_shape
from pipeline.tmkd.teacher import MultiViewTeacher, ViewedBatch

_COMMIT_SECONDS = 60.0
"""After which what was computed is brought to the disk, so that a killed process loses no more."""


class CachedTeacher:
    """A multi-view teacher that computes its outputs for each augmented image once.

    Of a batch, the teacher looks at the images that no row is there of. What it gives is what will be read later, to
    the bit, rounded to the storage.

    Args:
        teacher: the teacher.
        folder: where the cache is; whatever its contents follow from must be in its name.
        epochs: in the cycle of augmentations.
        images: training images.
        kept: what is kept of the teachers, name → name of its files: `logits` always, and of `pooled`, `feature_map`,
            `embeddings` and the stages' maps (see `STAGE`) what the method and the weights ask for.
        pool: feature maps are kept pooled to pool × pool, which is all that the feature loss uses.
        storage: the type in which numbers are kept.

    Attributes:
        timer: the teacher's, on which the cache marks its own part, `cache`.
    """

    def __init__(
        self,
        teacher: MultiViewTeacher,
        folder: Path,
        epochs: int,
        images: int,
        kept: Mapping[str, str],
        pool: int,
        storage: DTypeLike = np.float32,
    ) -> None:
        self._teacher = teacher
        self.timer = teacher.timer
        self._folder = folder
        self._keys = (epochs, images)
        self._kept = dict(kept)
        self._pool = pool
        self._storage = np.dtype(storage)
        self._columns: dict[Path, CacheColumn] = {}
        self._epoch = -1
        self._committed = time.monotonic()

    def __call__(
        self, images: Tensor, labels: Tensor, epoch: int, indices: Tensor, shown: Tensor | None = None
    ) -> NetworkOutput:
        """The teacher's answer to training images.

        Args:
            images: `[B, 3, H, W]` in `[0, 1]`, on the device.
            labels: `[B]` int64, on the device.
            epoch: number of the epoch, from 0; epoch and epoch + cycle have the same augmentation.
            indices: `[B]` int64, positions in the training split, on the CPU.
            shown: `[B]` int64, the view in which the student sees each image; None: rgb everywhere.

        Returns:
            As `MultiViewTeacher.fuse`, the feature map pooled, and empty what is not kept.
        """
        if epoch != self._epoch or time.monotonic() > self._committed + _COMMIT_SECONDS:
            self.commit()
            self._epoch = epoch
        cycle, rows = epoch % self._keys[0], indices.numpy()
        with self.timer.part("cache"):
            known = self._known(cycle, rows)
            found = self._recall(cycle, rows[known], labels.device) if known.any() else {}
        self._teacher.keep_step(not known.all())
        if not known.all():
            at = torch.from_numpy(known).to(images.device)
            unknown = images[~at].contiguous(memory_format=torch.channels_last) if found else images
            fresh = self._reduced(self._teacher.look(unknown))
            with self.timer.part("cache"):
                fresh = self._keep(cycle, rows[~known], fresh)
            found = {name: _joined(at, found[name], values) for name, values in fresh.items()} if found else fresh
        return self._teacher.fuse(self._teacher.remembered(self._viewed(found), indices), labels, shown)

    def commit(self) -> None:
        """Write what was computed so far to the disk, so that it outlives the process."""
        for column in self._columns.values():
            column.commit()
        self._committed = time.monotonic()

    @property
    def largest_error(self) -> float:
        """Of what this object has rounded to the storage: relative to the largest number of each output of an image."""
        return max((column.largest_error for column in self._columns.values()), default=0.0)

    def _reduced(self, viewed: ViewedBatch) -> dict[str, Tensor]:
        """What is kept of a batch: name → `[V, B, …]` float32."""
        output = viewed.output
        values = {"logits": output.logits, "pooled": output.pooled, "embeddings": viewed.embeddings}
        values |= {f"{STAGE}{number}": maps for number, maps in enumerate(output.stage_maps)}
        if "feature_map" in self._kept and output.feature_map is not None:
            # Pooling and fusion are both linear: their order does not matter.
            maps = functional.adaptive_avg_pool2d(output.feature_map.flatten(0, 1).float(), self._pool)
            values["feature_map"] = maps.unflatten(0, output.logits.shape[:2])
        # Laid out as they will be read: sums over another layout differ in their last bits.
        return {name: value.float().contiguous() for name in self._kept if (value := values.get(name)) is not None}

    def _viewed(self, values: Mapping[str, Tensor]) -> ViewedBatch:
        logits = values["logits"]
        weight, bias = self._teacher.visual.classifier
        stages = [name for name in self._kept if name.startswith(STAGE)]
        output = NetworkOutput(
            logits=logits,
            pooled=values.get("pooled", logits.new_empty(*logits.shape[:2], 0)),
            feature_map=values.get("feature_map"),
            classifier_weight=weight,
            classifier_bias=bias,
            stage_maps=tuple(values[name] for name in sorted(stages)),
        )
        return ViewedBatch(output, values.get("embeddings"))

    def _known(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Of which images everything is there: bool `[B]`."""
        known = np.ones(len(indices), np.bool_)
        for path in self._paths():
            if path not in self._columns:
                if not (values := path.with_name(f"{path.name}.npy")).is_file():
                    return np.zeros(len(indices), np.bool_)
                self._columns[path] = self._column(path, row_shape(values))
            known &= self._columns[path].known(epoch, indices)
        return known

    def _recall(self, epoch: int, indices: np.ndarray, device: torch.device) -> dict[str, Tensor]:
        """What is there of images: name → `[V, B, …]` float32."""
        found = {}
        for name in self._kept:
            columns = (self._columns[self._path(name, view)] for view in self._teacher.views.identities)
            stored = np.stack([column.read(epoch, indices) for column in columns])
            found[name] = torch.from_numpy(stored).to(device).float()
        return found

    def _keep(self, epoch: int, indices: np.ndarray, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Keep outputs `[V, B, …]`; gives them as they will be read."""
        rounded = {}
        for name, tensor in found.items():
            rows = []
            for view, values in zip(self._teacher.views.identities, tensor.cpu().numpy(), strict=True):
                path = self._path(name, view)
                if path not in self._columns:
                    self._columns[path] = self._column(path, values.shape[1:])
                rows.append(self._columns[path].write(epoch, indices, values))
            exact = self._storage == np.float32
            rounded[name] = tensor if exact else torch.from_numpy(np.stack(rows)).to(tensor)
        return rounded

    def _column(self, path: Path, shape: tuple[int, ...]) -> CacheColumn:
        return CacheColumn(path, *self._keys, shape, self._storage)

    def _paths(self) -> Iterator[Path]:
        return (self._path(name, view) for name in self._kept for view in self._teacher.views.identities)

    def _path(self, name: str, view: str) -> Path:
        return self._folder / f"{self._kept[name]}-{view}"


def _joined(known: Tensor, found: Tensor, fresh: Tensor) -> Tensor:
    """Rows `[V, B, …]`, of which those of `known` (bool `[B]`) are found and the others fresh."""
    rows = found.new_empty(found.shape[0], len(known), *found.shape[2:])
    rows[:, known], rows[:, ~known] = found, fresh
    return rows
