"""Accuracy with its uncertainty, from logits."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.core.growing import GrowingArray
from exporters.parity.chance import chance_level
from exporters.parity.intervals import wilson_interval
from pipeline.evaluation.probabilities import calibration_error, negative_log_likelihood

if TYPE_CHECKING:
    from torch import Tensor, device

    from pipeline.data.loading import Batch


def predict(
    logits_of: "Callable[[Tensor], Tensor]", batches: "Iterable[Batch]", on: "device", shared: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a whole split, in fp32 and without gradient.

    Args:
        logits_of: images `[B, 3, S, S]`, float32 in `[0, 1]`, on the device → logits `[B, K]`; in eval mode.
        batches: uint8 images and labels.
        on: the device.
        shared: whether several processes, where there are any, each give their part of the batches.

    Returns:
        Logits `[N, K]` float32 and labels `[N]` int64.
    """
    import torch

    from pipeline.distributed.collectives import interleaved_rows

    logits, labels = GrowingArray(), GrowingArray()
    with torch.no_grad():
        for batch in batches:
            images = batch.images.to(on, non_blocking=True).to(torch.float32).div_(255)
            logits.add(logits_of(images.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())
            labels.add(batch.labels.numpy())
    if shared:
        return interleaved_rows(logits), interleaved_rows(labels)
    return logits.array(), labels.array()


def top_k_correct(logits: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Whether the label is among the k largest logits: `[N, K]`, `[N]` → bool `[N]`. Ties go to the lower class."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return (best == labels[:, None]).any(axis=1)


def score(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Top-1 and top-5 accuracy of a split, with counts and the 95 % interval of top-1, as JSON values.

    `chance` is the accuracy of always answering the commonest class; `nll` and `ece` are those of
    `pipeline.evaluation.probabilities`, None where a logit is not finite.
    """
    correct = int(top_k_correct(logits, labels, 1).sum())
    low, high = wilson_interval(correct, len(labels))
    finite = bool(np.isfinite(logits).all())
    return {
        "images": len(labels),
        "correct": correct,
        "top1": correct / len(labels),
        "top1_interval": [low, high],
        "chance": chance_level(labels),
        "top5": float(top_k_correct(logits, labels, min(5, logits.shape[1])).mean()),
        "nll": negative_log_likelihood(logits, labels) if finite else None,
        "ece": calibration_error(logits, labels) if finite else None,
    }


def per_class_accuracy(logits: np.ndarray, labels: np.ndarray, classes: int) -> list[float | None]:
    """Top-1 accuracy of each class; None for a class without images."""
    correct = top_k_correct(logits, labels, 1)
    return [float(correct[labels == label].mean()) if (labels == label).any() else None for label in range(classes)]
