"""A teacher that has looked once: what a student's step costs when the answers are there."""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional

from pipeline.models.outputs import NetworkOutput
from pipeline.tmkd.teacher import MultiViewTeacher, ViewedBatch


class Remembered:
    """A teacher that answers from what was seen once, as a cached one does.

    Args:
        teacher: fuses and weighs.
        seen: of one look.
        pool: maps are pooled to pool × pool, as a cache keeps them; None: they stay whole.
    """

    def __init__(self, teacher: MultiViewTeacher, seen: ViewedBatch, pool: int | None) -> None:
        self._teacher = teacher
        maps = seen.output.feature_map
        if pool is not None and maps is not None:
            pooled = functional.adaptive_avg_pool2d(maps.flatten(0, 1), pool).unflatten(0, maps.shape[:2])
            seen = replace(seen, output=seen.output._replace(feature_map=pooled))
        self._seen = seen

    def __call__(
        self, images: Tensor, labels: Tensor, epoch: int, indices: Tensor, shown: Tensor | None = None
    ) -> NetworkOutput:
        """What the teacher answers where its outputs are there; see `pipeline.training.step.Teacher`."""
        output = self._seen.output

        def of_batch(values: Tensor) -> Tensor:
            return values[:, :1].expand(-1, len(images), *values.shape[2:])

        found = output._replace(
            logits=of_batch(output.logits),
            pooled=of_batch(output.pooled),
            feature_map=None if output.feature_map is None else of_batch(output.feature_map),
            stage_maps=tuple(map(of_batch, output.stage_maps)),
        )
        embeddings = None if self._seen.embeddings is None else of_batch(self._seen.embeddings)
        return self._teacher.fuse(ViewedBatch(found, embeddings), labels, shown)
