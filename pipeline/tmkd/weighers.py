"""The weightings of a recipe: from what the teachers saw in each view to scores (line 5)."""

from typing import Protocol

from torch import Tensor

from exporters.core.errors import UsageError
from pipeline.tmkd.settings import WeightingSettings
from pipeline.tmkd.weighting import image_text_scores, teacher_confidence_scores, text_scores, uniform_scores


class Weigher(Protocol):
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


class ImageTextWeigher:
    """How well each view agrees with the prompts of the class, by CLIP's two towers.

    Args:
        text_embeddings: `[V, K, D]`, on the device.
        logit_scale: CLIP's own.
        score: `log_probability` or `cosine`.
    """

    def __init__(self, text_embeddings: Tensor, logit_scale: float, score: str) -> None:
        self._text_embeddings = text_embeddings
        self._logit_scale = logit_scale
        self._score = score

    def __call__(self, embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Weigher`."""
        assert embeddings is not None
        return image_text_scores(embeddings, self._text_embeddings, labels, self._logit_scale, self._score)


class TextWeigher:
    """How distinctive the class is among the prompts of each view; looks at no image.

    Args:
        text_embeddings: `[V, K, D]`, on the device.
    """

    def __init__(self, text_embeddings: Tensor) -> None:
        self._text_embeddings = text_embeddings

    def __call__(self, embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Weigher`."""
        return text_scores(self._text_embeddings, labels)


def confidence_weigher(embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
    """The visual teacher's own confidence in the class; see `Weigher`."""
    return teacher_confidence_scores(logits, labels)


def uniform_weigher(embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
    """No preference; see `Weigher`."""
    return uniform_scores(len(logits), labels)


def make_weigher(
    settings: WeightingSettings, text_embeddings: Tensor | None = None, logit_scale: float | None = None
) -> Weigher:
    """The weigher that `distill.weighting` asks for.

    Args:
        settings: the recipe's section.
        text_embeddings: `[V, K, D]`, needed by `image_text`, `random_prompts` and `text`; for `random_prompts` those of
            the random prompts, which is all that it differs in from `image_text`.
        logit_scale: of the CLIP whose image tower looks at the views; needed by `image_text` and `random_prompts`.

    Raises:
        UsageError: the text teacher cannot give what the weighting needs.
    """
    if settings.by == "uniform":
        return uniform_weigher
    if settings.by == "teacher_confidence":
        return confidence_weigher
    if text_embeddings is None or (settings.by != "text" and logit_scale is None):
        raise UsageError(f"distill.weighting.by: {settings.by} needs more than teacher.text has")
    if settings.by == "text" or logit_scale is None:
        return TextWeigher(text_embeddings)
    return ImageTextWeigher(text_embeddings, logit_scale, settings.score)
