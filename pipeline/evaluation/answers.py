"""What the teachers say about images in each view, computed once and kept for every figure that is made of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, device

from pipeline.distributed.collectives import interleaved

if TYPE_CHECKING:
    from pipeline.data.loading import Batch
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.whole_images import WholeImages


@dataclass(frozen=True)
class Answers:
    """The teachers' outputs on some images, on the CPU.

    Attributes:
        names: of the V views.
        logits: `[V, N, K]` float32, the visual teacher's.
        embeddings: `[V, N, D]` float32, CLIP's image tower; None where the weights need none.
        labels: `[N]` int64, the true ones.
    """

    names: tuple[str, ...]
    logits: Tensor
    embeddings: Tensor | None
    labels: Tensor

    def select(self, names: Sequence[str]) -> "Answers":
        """The same images in some of the views, in the order given."""
        rows = [self.names.index(name) for name in names]
        embeddings = None if self.embeddings is None else self.embeddings[rows]
        return Answers(tuple(names), self.logits[rows], embeddings, self.labels)


def ask(
    teacher: "MultiViewTeacher", batches: "Iterable[Batch]", on: device, whole: "WholeImages | None" = None
) -> Iterator[Answers]:
    """The teachers' outputs batch by batch.

    Args:
        teacher: on the device.
        batches: uint8 images and labels.
        on: the device.
        whole: what CLIP says of whole training images, where it is kept: `batches` are of training images, and CLIP
            looks at those that are not there.
    """
    looking = teacher if whole is None else teacher.seeing(whole)
    for batch in looking.in_step(batches, embeds=whole is not None):
        images = batch.images.to(on, non_blocking=True).to(torch.float32).div_(255)
        viewed = looking.look(images)
        if whole is not None:
            viewed = teacher.seeing(partial(whole.look, images)).remembered(viewed, batch.indices)
        embeddings = None if viewed.embeddings is None else viewed.embeddings.float().cpu()
        yield Answers(teacher.views.names, viewed.output.logits.float().cpu(), embeddings, batch.labels.cpu())


def joined(answers: Iterable[Answers]) -> Answers:
    """Several batches as one, those of all processes; at least one batch, all in the same views."""
    parts = interleaved(list(answers))
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return Answers(
        parts[0].names,
        torch.cat([part.logits for part in parts], dim=1),
        torch.cat(embeddings, dim=1) if embeddings else None,
        torch.cat([part.labels for part in parts]),
    )
