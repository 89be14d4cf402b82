"""What the teacher knows before anything is distilled: its accuracy in each view, and fused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, device

from exporters.parity.chance import chance_level, describe, interval_text, is_above_chance
from pipeline.tmkd.fusion import fuse

if TYPE_CHECKING:
    from pipeline.data.loading import Batch
    from pipeline.tmkd.teacher import MultiViewTeacher


WAY_OUT = (
    "A teacher a point or two below may still help; one far below does harm. Train it longer or take a stronger one, or"
    " set distill.on_no_gain=fall_back, which ships the student that is better on validation."
)


@dataclass(frozen=True)
class PlainAccuracy:
    """What the student reaches from labels alone, on validation.

    Attributes:
        top1: in [0, 1].
        images: on how many images it was measured; None where that is not known.
        epochs: of how many, such as `3 of 30 epochs`; "" where that is not known.
    """

    top1: float
    images: int | None = None
    epochs: str = ""

    def describe(self) -> str:
        """Part of a sentence: `84.62 % (81.4–87.3) from labels alone, 3 of 30 epochs`."""
        interval = "" if self.images is None else f" ({interval_text(self.top1, self.images)})"
        return f"{100 * self.top1:.2f} %{interval} from labels alone{self.epochs and f', {self.epochs}'}"


def measure_teacher(teacher: "MultiViewTeacher", batches: "Iterable[Batch]", on: device) -> dict[str, Any]:
    """Top-1 accuracy on a split: per view; fused with label-free weights; fused with the true labels as an oracle.

    The oracle shows what the weights do on training images, where the label is allowed to guide. It is an upper bound
    and decides nothing.

    Returns:
        JSON values: `images`, `chance` (the accuracy of always answering the commonest class), `views` (name →
        accuracy), `fused`, `oracle`, `mean_weights` (view → label-free weight).
    """
    names = teacher.views.names
    correct: Tensor | float = 0.0
    weights_sum: Tensor | float = 0.0
    total = 0
    truth = []
    for batch in batches:
        images = batch.images.to(on, non_blocking=True).to(torch.float32).div_(255)
        truth.append(batch.labels.numpy())
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
        "chance": chance_level(np.concatenate(truth)),
        "views": dict(zip(names, accuracies, strict=False)),
        "fused": accuracies[-2],
        "oracle": accuracies[-1],
        "mean_weights": dict(zip(names, (torch.as_tensor(weights_sum) / total).tolist(), strict=True)),
    }


def teacher_weaknesses(measured: Mapping[str, Any], plain: PlainAccuracy | None) -> list[str]:
    """What speaks against learning from this teacher, one plain sentence each; empty where nothing does.

    Args:
        measured: of `measure_teacher`, on validation.
        plain: what the student reaches without this teacher; None: not known.

    Returns:
        A sentence if what the student learns from (the fused teacher, or the only view) is not above chance level; one
        if fusing several views is not better than the best of them alone, with label-free weights; and one if what the
        student learns from is less accurate than the plain student.
    """
    several = len(measured["views"]) > 1
    found = []
    if not is_above_chance(round(measured["fused"] * measured["images"]), measured["images"], measured["chance"]):
        score = describe(measured["fused"], measured["images"], measured["chance"], "validation")
        found.append(f"The teacher{', fused,' if several else ''} is at CHANCE LEVEL, with nothing to teach: {score}.")
    if several and _fusion_gain(measured) <= 0:
        found.append(fusion_verdict(measured))
    if plain is not None and measured["fused"] < plain.top1:
        found.append(
            f"The teacher{', fused,' if several else ''} is WEAKER than the student without it on"
            f" {measured['images']:,} images: {_fused_accuracy(measured)} against {plain.describe()}. {WAY_OUT}"
        )
    return found


def against_plain(measured: Mapping[str, Any], plain: PlainAccuracy) -> str:
    """The teacher and the student without it side by side, in one line.

    Args:
        measured: of `measure_teacher`, on validation.
        plain: the student.
    """
    return (
        f"on {measured['images']:,} validation images: the teacher {_fused_accuracy(measured)}, the student"
        f" {plain.describe()}"
    )


def _fused_accuracy(measured: Mapping[str, Any]) -> str:
    return f"{100 * measured['fused']:.2f} % ({interval_text(measured['fused'], measured['images'])})"


def _fusion_gain(measured: Mapping[str, Any]) -> float:
    """Accuracy of the fused teacher with label-free weights, less that of its best view."""
    return measured["fused"] - max(measured["views"].values())


def fusion_verdict(measured: Mapping[str, Any]) -> str:
    """Whether fusing helps on a split, in one plain sentence."""
    views, images = measured["views"], measured["images"]
    if len(views) == 1:
        return "One view: there is nothing to fuse."
    best = max(views, key=views.__getitem__)
    difference = 100 * _fusion_gain(measured)
    if round(difference, 2) == 0:
        return f"No gain from fusing the views: as accurate as the best view ({best}) on {images:,} images."
    if difference > 0:
        return f"Fusing the views gains {difference:.2f} points over the best view ({best}) on {images:,} images."
    return (
        f"Fusing the views LOWERS the teacher's accuracy: {difference:+.2f} points against the best view ({best}) on"
        f" {images:,} images, with weights that know no label."
    )
