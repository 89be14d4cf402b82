"""What the teacher knows before anything is distilled: its accuracy in each view, and fused."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, device

from pipeline.tmkd.fusion import fuse

if TYPE_CHECKING:
    from pipeline.data.loading import Batch
    from pipeline.tmkd.teacher import MultiViewTeacher


def measure_teacher(teacher: "MultiViewTeacher", batches: "Iterable[Batch]", on: device) -> dict[str, Any]:
    """Top-1 accuracy on a split: per view; fused with label-free weights; fused with the true labels as an oracle.

    The oracle shows what the weights do on training images, where the label is allowed to guide. It is an upper bound
    and decides nothing.

    Returns:
        JSON values: `images`, `views` (name → accuracy), `fused`, `oracle`, `mean_weights` (view → label-free weight).
    """
    names = teacher.views.names
    correct: Tensor | float = 0.0
    weights_sum: Tensor | float = 0.0
    total = 0
    for batch in batches:
        images = batch.images.to(on, non_blocking=True).to(torch.float32).div_(255)
        labels = batch.labels.to(on)
        viewed = teacher.look(images)
        weights = teacher.weigh_label_free(viewed)
        candidates = torch.stack(
            [
                *viewed.output.logits.float(),
                fuse(weights, viewed.output.logits),
                fuse(teacher.weigh(viewed, labels), viewed.output.logits),
            ]
        )
        correct = correct + (candidates.argmax(dim=-1) == labels).double().sum(dim=1).cpu()
        weights_sum = weights_sum + weights.double().sum(dim=0).cpu()
        total += len(labels)
    accuracies = (torch.as_tensor(correct) / total).tolist()
    return {
        "images": total,
        "views": dict(zip(names, accuracies, strict=False)),
        "fused": accuracies[-2],
        "oracle": accuracies[-1],
        "mean_weights": dict(zip(names, (torch.as_tensor(weights_sum) / total).tolist(), strict=True)),
    }


def fusion_verdict(measured: dict[str, Any]) -> str:
    """Whether fusing helps on a split, in one plain sentence."""
    views = measured["views"]
    if len(views) == 1:
        return "One view: an ordinary teacher."
    best = max(views, key=views.__getitem__)
    difference = 100 * (measured["fused"] - views[best])
    if difference > 0:
        return f"Fusion helps on {measured['images']:,} images: {difference:+.2f} points over the best view ({best})."
    return (
        f"Fusion does NOT help on {measured['images']:,} images: {difference:+.2f} points against the best view"
        f" ({best}) with label-free weights."
    )
