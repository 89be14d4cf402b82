"""How much each view counts for each image: TMKD (arXiv 2603.24208), our reconstruction, lines 5 and 6.

Scores are `[B, V]`, higher for a view that carries the class better; `view_weights` turns them into weights. The true
label guides weights on training images only; elsewhere `label_free_labels` takes its place.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.tmkd.precision import full_precision, widen


def image_text_scores(
    image_embeddings: Tensor,
    text_embeddings: Tensor,
    labels: Tensor,
    logit_scale: float | Tensor,
    score: str = "log_probability",
) -> Tensor:
    """Agreement of each view with the prompts of its class, by the text teacher's two towers (line 5).

    Args:
        image_embeddings: `[V, B, D]`, the image tower on each view; any length, normalised here.
        text_embeddings: `[V, K, D]`, the prompts of each view and class; normalised here.
        labels: `[B]` int64 in [0, K).
        logit_scale: the CLIP's own scale (100 for the published ones), not its logarithm.
        score: `"log_probability"`, the log-softmax over the classes of the scaled cosines, in each view; or
            `"cosine"`, the scaled cosine with the class itself.

    Returns:
        `[B, V]` fp32.

    Raises:
        ValueError: an unknown score.
    """
    with full_precision(image_embeddings):
        images = F.normalize(widen(image_embeddings), dim=-1)
        texts = F.normalize(widen(text_embeddings), dim=-1)
        logits = logit_scale * (images @ texts.transpose(-1, -2))
    if score == "log_probability":
        return teacher_confidence_scores(logits, labels)
    if score == "cosine":
        return _at_label(logits, labels)
    raise ValueError(f"unknown score {score!r}: log_probability or cosine")


def teacher_confidence_scores(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability that the visual teacher gives the class in each view (line 5, without any text teacher).

    Args:
        logits: `[V, B, K]` of the visual teacher on the views.
        labels: `[B]` int64 in [0, K).

    Returns:
        `[B, V]` fp32, at most 0.
    """
    with full_precision(logits):
        return _at_label(widen(logits).log_softmax(dim=-1), labels)


def text_scores(text_embeddings: Tensor, labels: Tensor) -> Tensor:
    """How distinctive the class is among the prompts of each view: `-cos(t[v,y], mean_k t[v,k])` (line 5, no images).

    Args:
        text_embeddings: `[V, K, D]`.
        labels: `[B]` int64 in [0, K).

    Returns:
        `[B, V]` fp32 in [-1, 1].
    """
    with full_precision(text_embeddings):
        texts = F.normalize(widen(text_embeddings), dim=-1)
        centre = F.normalize(texts.mean(dim=1, keepdim=True), dim=-1)
        return -(texts * centre).sum(-1)[:, labels].T


def uniform_scores(views: int, labels: Tensor) -> Tensor:
    """No preference: zeros `[B, V]` fp32 on the labels' device."""
    return torch.zeros(len(labels), views, device=labels.device)


def view_weights(scores: Tensor, temperature: float = 1.0) -> Tensor:
    """Weights `softmax_v(scores / temperature)`, whose rows sum to 1 (line 6).

    Args:
        scores: `[B, V]`.
        temperature: τ_w, above 0; infinity gives 1/V each.

    Returns:
        `[B, V]` fp32 (float64 for float64).

    Raises:
        ValueError: a temperature of 0 or less.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature of view weights must be above 0, not {temperature}")
    with full_precision(scores):
        return (widen(scores) / temperature).softmax(dim=-1)


def label_free_labels(logits: Tensor) -> Tensor:
    """Stand-ins for the labels where the true ones must not guide: `[V, B, K]` → `[B]`, argmax of the views' mean."""
    return widen(logits).mean(dim=0).argmax(dim=-1)


def _at_label(values: Tensor, labels: Tensor) -> Tensor:
    """`[V, B, K]` and `[B]` → `[B, V]`."""
    index = labels[None, :, None].expand(values.shape[0], -1, 1)
    return values.gather(-1, index).squeeze(-1).T
