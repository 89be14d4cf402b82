"""How much each view counts for each image: TMKD (arXiv 2603.24208), our reconstruction, lines 5 and 6.

Scores are `[B, V]`, higher for a view that carries the class better; `view_weights` turns them into weights. The true
label guides weights on training images only; elsewhere `label_free_labels` takes its place.
"""

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from exporters.core.errors import UsageError
from pipeline.tmkd.precision import full_precision, widen
from pipeline.tmkd.settings import WeightingSettings

Score = Literal["log_probability", "cosine"]


def image_text_scores(
    image_embeddings: Tensor,
    text_embeddings: Tensor,
    labels: Tensor,
    logit_scale: float | Tensor,
    score: Score,
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
    """
    with full_precision(image_embeddings):
        images = F.normalize(widen(image_embeddings), dim=-1)
        texts = F.normalize(widen(text_embeddings), dim=-1)
        logits = logit_scale * (images @ texts.transpose(-1, -2))
    if score == "log_probability":
        return teacher_confidence_scores(logits, labels)
    return _at_label(logits, labels)


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
    """Equal scores: zeros `[B, V]` fp32 on the labels' device."""
    return torch.zeros(len(labels), views, device=labels.device)


def view_weights(scores: Tensor, temperature: float) -> Tensor:
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


class ViewWeighting(Protocol):
    """Scores the views of a batch."""

    def __call__(self, embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        """Score the views.

        Args:
            embeddings: `[V, B, D]`, CLIP's image tower on each view; None where the weighting needs no image tower.
            logits: `[V, B, K]`, the visual teacher's.
            labels: `[B]` int64.

        Returns:
            `[B, V]` fp32.
        """


class _ImageTextWeighting:
    """How well each view agrees with the prompts of the class, by CLIP's two towers.

    Args:
        text_embeddings: `[V, K, D]`, on the device.
        logit_scale: CLIP's own.
        score: `log_probability` or `cosine`.
    """

    def __init__(self, text_embeddings: Tensor, logit_scale: float, score: Score) -> None:
        self._text_embeddings = text_embeddings
        self._logit_scale = logit_scale
        self._score = score

    def __call__(self, embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        """See `ViewWeighting`."""
        assert embeddings is not None
        return image_text_scores(embeddings, self._text_embeddings, labels, self._logit_scale, self._score)


class _ProductWeighting:
    """Both teachers: the sum of CLIP's and the visual teacher's log-scores, which multiplies their probabilities.

    Args:
        image_text: CLIP's.
    """

    def __init__(self, image_text: _ImageTextWeighting) -> None:
        self._image_text = image_text

    def __call__(self, embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        """See `ViewWeighting`."""
        return self._image_text(embeddings, logits, labels) + teacher_confidence_scores(logits, labels)


class _TextWeighting:
    """How distinctive the class is among the prompts of each view; looks at no image.

    Args:
        text_embeddings: `[V, K, D]`, on the device.
    """

    def __init__(self, text_embeddings: Tensor) -> None:
        self._text_embeddings = text_embeddings

    def __call__(self, embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        """See `ViewWeighting`."""
        return text_scores(self._text_embeddings, labels)


def confidence_weighting(embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
    """The visual teacher's own confidence in the class; see `ViewWeighting`."""
    return teacher_confidence_scores(logits, labels)


def uniform_weighting(embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
    """Equal weights; see `ViewWeighting`."""
    return uniform_scores(len(logits), labels)


def make_view_weighting(
    settings: WeightingSettings, text_embeddings: Tensor | None = None, logit_scale: float | None = None
) -> ViewWeighting:
    """The view weighting that a recipe asks for.

    Args:
        settings: the recipe's section `distill.weighting`.
        text_embeddings: `[V, K, D]`, needed by `image_text`, `product`, `random_prompts` and `text`; for
            `random_prompts` those of the random prompts, which is all that it differs in from `image_text`.
        logit_scale: of the CLIP whose image tower looks at the views; needed by all of these but `text`.

    Raises:
        UsageError: the text teacher cannot give what the weighting needs.
    """
    if settings.by == "uniform":
        return uniform_weighting
    if settings.by == "teacher_confidence":
        return confidence_weighting
    if text_embeddings is None or (settings.by != "text" and logit_scale is None):
        raise UsageError(f"distill.weighting.by: {settings.by} needs more than teacher.text has")
    if settings.by == "text" or logit_scale is None:
        return _TextWeighting(text_embeddings)
    image_text = _ImageTextWeighting(text_embeddings, logit_scale, settings.score)
    return _ProductWeighting(image_text) if settings.by == "product" else image_text
