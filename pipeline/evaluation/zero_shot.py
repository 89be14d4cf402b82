"""What the text teacher knows: classifying images by prompts alone."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, device

from pipeline.distributed.collectives import summed

if TYPE_CHECKING:
    from pipeline.data.loading import Batch
    from pipeline.tmkd.views.views import Views


@torch.no_grad()
def zero_shot_accuracy(
    look: Callable[[Tensor], Tensor], embeddings: Tensor, views: "Views", batches: "Iterable[Batch]", on: device
) -> dict[str, float]:
    """Top-1 accuracy of the nearest prompt, per view.

    Args:
        look: images `[n, 3, S, S]` in `[0, 1]` on the device → embeddings `[n, D]`, of unit length; called once for
            each batch.
        embeddings: `[V, K, D]`, on the device.
        views: in the order of the embeddings.
        batches: uint8 images and labels; of several processes, each gives its part.
        on: the device.
    """
    correct = torch.zeros(len(views), dtype=torch.float64)
    total = torch.zeros(1, dtype=torch.float64)
    for batch in batches:
        images = batch.images.to(on).to(torch.float32).div_(255)
        shown = views(images)
        found = look(shown.flatten(0, 1)).unflatten(0, shown.shape[:2])
        best = torch.einsum("vbd,vkd->vbk", found, embeddings.to(found.dtype)).argmax(dim=-1).cpu()
        correct += (best == batch.labels).double().sum(dim=1)
        total += len(batch.labels)
    return dict(zip(views.names, (summed(correct) / summed(total)).tolist(), strict=True))
