"""The teachers' outputs for each view of each augmented image, kept on disk: a repeated epoch runs no teacher.

Augmentation is a function of (seed, epoch, index). With its epochs in a cycle the teachers' outputs repeat too, and
a training epoch then costs little more than the student alone. What is kept comes before labels and view weights, so
that one cache serves every loss weight, view weighting and student.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.outputs import NetworkOutput
from pipeline.tmkd.cache_files import ArrayFile, row_shape
from pipeline.tmkd.teacher import MultiViewTeacher, ViewedBatch


class CacheColumn:
    """One kind of value for each (epoch, image), in a file of its own that says after a crash what it holds.

    Several processes may fill one column: equal keys have equal values.

    Args:
        path: without suffix; values go to `<path>.npy`, the marks of what is there to `<path>.known.npy`.
        epochs, images: the keys.
        shape: of one value, float32.

    Raises:
        UnavailableError: the disk has no room for the whole column, or the files are damaged.
    """

    def __init__(self, path: Path, epochs: int, images: int, shape: tuple[int, ...]) -> None:
        self._values = ArrayFile(path.with_name(f"{path.name}.npy"), (epochs, images, *shape), np.float32)
        self._known = ArrayFile(path.with_name(f"{path.name}.known.npy"), (epochs, images), np.bool_)
        self._pending: list[tuple[int, np.ndarray]] = []

    def read(self, epoch: int, indices: np.ndarray) -> np.ndarray | None:
        """Values `[B, …]` of images of an epoch; None where one is missing."""
        return self._values.read(epoch, indices) if self._known.read(epoch, indices).all() else None

    def write(self, epoch: int, indices: np.ndarray, values: np.ndarray) -> None:
        """Keep values `[B, …]`; they count once `commit` has been called."""
        self._values.write(epoch, indices, values)
        self._pending.append((epoch, indices))

    def commit(self) -> None:
        """Bring values to the disk, and only then the marks that say so."""
        if not self._pending:
            return
        self._values.flush()
        for epoch, indices in self._pending:
            self._known.write(epoch, indices, np.ones(len(indices), np.bool_))
        self._known.flush()
        self._pending.clear()


class CachedTeacher:
    """A multi-view teacher that computes its outputs for each augmented image once.

    Args:
        teacher: the teacher.
        folder: where the cache is; whatever its contents follow from must be in its name.
        epochs: in the cycle of augmentations.
        images: training images.
        kept: what is kept of the teachers, name → name of its files: `logits` always, and of `pooled`, `feature_map`
            and `embeddings` what the method and the weights ask for.
        pool: feature maps are kept pooled to pool × pool, which is all that the feature loss uses.

    Attributes:
        timer: the teacher's, on which the cache marks its own part, `cache`.
    """

    def __init__(
        self, teacher: MultiViewTeacher, folder: Path, epochs: int, images: int, kept: Mapping[str, str], pool: int
    ) -> None:
        self._teacher = teacher
        self.timer = teacher.timer
        self._folder = folder
        self._keys = (epochs, images)
        self._kept = dict(kept)
        self._pool = pool
        self._columns: dict[Path, CacheColumn] = {}
        self._epoch = -1

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
        if epoch != self._epoch:
            self.commit()
            self._epoch = epoch
        place = (epoch % self._keys[0], indices.numpy())
        with self.timer.part("cache"):
            found = self._recall(*place)
        if found is None:
            found = self._reduced(self._teacher.look(images))
            with self.timer.part("cache"):
                self._keep(*place, found)
        viewed = self._viewed({name: values.to(labels.device) for name, values in found.items()})
        return self._teacher.fuse(viewed, labels, shown)

    def commit(self) -> None:
        """Write what was computed so far to the disk, so that it outlives the process."""
        for column in self._columns.values():
            column.commit()

    def _reduced(self, viewed: ViewedBatch) -> dict[str, Tensor]:
        """What is kept of a batch: name → `[V, B, …]` float32."""
        output = viewed.output
        values = {"logits": output.logits, "pooled": output.pooled, "embeddings": viewed.embeddings}
        if "feature_map" in self._kept and output.feature_map is not None:
            # Pooling and fusion are both linear: their order does not matter.
            maps = functional.adaptive_avg_pool2d(output.feature_map.flatten(0, 1).float(), self._pool)
            values["feature_map"] = maps.unflatten(0, output.logits.shape[:2])
        return {name: value.float() for name in self._kept if (value := values.get(name)) is not None}

    def _viewed(self, values: Mapping[str, Tensor]) -> ViewedBatch:
        logits = values["logits"]
        weight, bias = self._teacher.visual.classifier
        output = NetworkOutput(
            logits=logits,
            pooled=values.get("pooled", logits.new_empty(*logits.shape[:2], 0)),
            feature_map=values.get("feature_map"),
            classifier_weight=weight,
            classifier_bias=bias,
        )
        return ViewedBatch(output, values.get("embeddings"))

    def _recall(self, epoch: int, indices: np.ndarray) -> dict[str, Tensor] | None:
        found = {}
        for name in self._kept:
            views = [self._read(name, view, epoch, indices) for view in self._teacher.views.identities]
            if any(values is None for values in views):
                return None
            found[name] = torch.from_numpy(np.stack(views))  # type: ignore[arg-type]
        return found

    def _read(self, name: str, view: str, epoch: int, indices: np.ndarray) -> np.ndarray | None:
        path = self._path(name, view)
        if path not in self._columns:
            if not (values := path.with_name(f"{path.name}.npy")).is_file():
                return None
            self._columns[path] = CacheColumn(path, *self._keys, row_shape(values))
        return self._columns[path].read(epoch, indices)

    def _keep(self, epoch: int, indices: np.ndarray, found: Mapping[str, Tensor]) -> None:
        for name, tensor in found.items():
            for view, values in zip(self._teacher.views.identities, tensor.cpu().numpy(), strict=True):
                path = self._path(name, view)
                if path not in self._columns:
                    self._columns[path] = CacheColumn(path, *self._keys, values.shape[1:])
                self._columns[path].write(epoch, indices, values)

    def _path(self, name: str, view: str) -> Path:
        return self._folder / f"{self._kept[name]}-{view}"


def cache_size(folder: Path) -> int:
    """Bytes on the disk below a folder."""
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*.npy"))
