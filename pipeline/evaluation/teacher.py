"""What the teacher knows before anything is distilled: its accuracy in each view, and fused."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from exporters.parity.chance import chance_level, interval_text, is_above_chance, not_above_chance
from pipeline.distributed.collectives import interleaved
from pipeline.tmkd.fusion import fuse

if TYPE_CHECKING:
    from pipeline.evaluation.answers import Answers
    from pipeline.tmkd.weight_rule import WeightRule


WAY_OUT = (
    "A teacher a point or two below may still help; one far below usually does harm. Train it longer or take a stronger"
    " one, or set distill.on_no_gain=fall_back, which ships the student that is better on validation."
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


def measure_teacher(rule: "WeightRule", answers: "Iterable[Answers]", shared: bool = False) -> dict[str, Any]:
    """Top-1 accuracy and NLL on a split: per view, and fused with uniform, label-free and guided weights.

    Guided weights follow the true labels, as they do on training images; elsewhere they are an upper bound, the
    *oracle*, and decide nothing.

    Args:
        rule: how the views are weighed.
        answers: of the teachers on the split, in batches of any size, at least one; all in the same views.
        shared: whether several processes, where there are any, each give their part of the batches.

    Returns:
        JSON values: `images`, `chance` (the accuracy of always answering the commonest class), `views` (name →
        accuracy), accuracies `uniform`, `fused` (label-free) and `oracle` (guided), `mean_weights` (view → label-free
        weight), `nll` (in nats: `views`, `uniform`, `fused`, `oracle`), `weights` (`fused` and `oracle` →
        `distance`, the mean total variation distance from uniform weights, in [0, 1 - 1/V], and `entropy`, the mean
        entropy as a share of that of uniform weights, in [0, 1]).
    """
    correct: Tensor | float = 0.0
    losses: Tensor | float = 0.0
    weights_sum: Tensor | float = 0.0
    spread: Tensor | float = 0.0
    sums = [_sums(rule, part) for part in answers]
    found = interleaved(sums) if shared else sums
    names = found[0].names
    for part in found:
        correct, losses = correct + part.correct, losses - part.losses
        weights_sum, spread = weights_sum + part.weights, spread + part.spread
    labels_all = np.concatenate([part.labels for part in found])
    total = len(labels_all)
    accuracies = (torch.as_tensor(correct) / total).tolist()
    nll = [round(value, 6) for value in (torch.as_tensor(losses) / total).tolist()]
    fusions = ("uniform", "fused", "oracle")
    return {
        "images": total,
        "chance": chance_level(labels_all),
        "views": dict(zip(names, accuracies, strict=False)),
        **dict(zip(fusions, accuracies[-3:], strict=True)),
        "mean_weights": dict(zip(names, (torch.as_tensor(weights_sum) / total).tolist(), strict=True)),
        "nll": {"views": dict(zip(names, nll, strict=False)), **dict(zip(fusions, nll[-3:], strict=True))},
        "weights": {
            name: {"distance": round(distance, 6), "entropy": round(entropy, 6)}
            for name, (distance, entropy) in zip(fusions[1:], (torch.as_tensor(spread) / total).tolist(), strict=True)
        },
    }


@dataclass(frozen=True)
class _Sums:
    """What is summed over the images of a batch, in float64; of each view, and fused in three ways."""

    names: tuple[str, ...]
    labels: np.ndarray
    correct: Tensor
    losses: Tensor
    weights: Tensor
    spread: Tensor


def _sums(rule: "WeightRule", part: "Answers") -> _Sums:
    labels = part.labels
    label_free = rule.weigh_label_free(part.embeddings, part.logits)
    guided = rule.weigh(part.embeddings, part.logits, labels)
    uniform = torch.full_like(label_free, 1 / len(part.names))
    fused = [fuse(weights, part.logits) for weights in (uniform, label_free, guided)]
    candidates = torch.stack([*part.logits.float(), *fused])
    return _Sums(
        part.names,
        labels.numpy(),
        correct=(candidates.argmax(dim=-1) == labels).double().sum(dim=1),
        losses=candidates.double().log_softmax(dim=-1)[:, torch.arange(len(labels)), labels].sum(dim=1),
        weights=label_free.double().sum(dim=0),
        spread=torch.stack([_distance_and_entropy(label_free), _distance_and_entropy(guided)]),
    )


def _distance_and_entropy(weights: Tensor) -> Tensor:
    """Of weights `[B, V]`, summed over the images: `[2]` float64, each in [0, B]."""
    values, views = weights.double(), weights.shape[1]
    distance = (values - 1 / views).abs().sum() / 2
    entropy = torch.special.entr(values).sum() / math.log(views) if views > 1 else values.sum()
    return torch.stack([distance, entropy])


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
        score = {"top1": measured["fused"], "images": measured["images"], "chance": measured["chance"]}
        subject = f"the teacher{', fused,' if several else ''}"
        claim = not_above_chance(subject, score, "validation", ", with nothing to teach")
        found.append(f"{claim[0].upper()}{claim[1:].replace('chance level', 'CHANCE LEVEL')}.")
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


def weights_verdict(measured: Mapping[str, Any]) -> str:
    """How far the weights of the views are from uniform ones and what they are worth, in two plain sentences.

    Args:
        measured: of `measure_teacher`, in several views.
    """

    def worth(name: str) -> str:
        points, nats = 100 * (measured[name] - measured["uniform"]), measured["nll"][name] - measured["nll"]["uniform"]
        return f"{points:+.2f} points, NLL {nats:+.3f}"

    farthest = 1 - 1 / len(measured["views"])
    distances = [measured["weights"][name]["distance"] for name in ("fused", "oracle")]
    return (
        f"Distance of the views' weights from uniform: {distances[0]:.2f} without labels, {distances[1]:.2f} with"
        f" labels (0 to {farthest:.2f}). Fused by them instead of uniformly, the teacher changes by {worth('fused')}"
        f" without labels, by {worth('oracle')} with labels, on {measured['images']:,} images."
    )
