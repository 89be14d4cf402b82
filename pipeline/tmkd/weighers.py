"""The weightings of a recipe, each bound to the teacher that it asks: from views and logits to scores (line 5)."""

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from exporters.errors import UsageError
from pipeline.tmkd.weighting import image_text_scores, teacher_confidence_scores, text_scores, uniform_scores

if TYPE_CHECKING:
    from pipeline.models.clip import Clip
    from pipeline.recipe.schema import WeightingSettings


class Weigher(Protocol):
    """Scores the views of a batch."""

    def __call__(self, views: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Views `[V, B, 3, H, W]` in `[0, 1]`, the visual teacher's logits `[V, B, K]`, labels `[B]` → `[B, V]`."""


class ImageTextWeigher:
    """How well each view agrees with the prompts of the class, by CLIP's two towers.

    Args:
        clip: in eval mode, on the device.
        text_embeddings: `[V, K, D]`, on the device.
        score: `log_probability` or `cosine`.
    """

    def __init__(self, clip: "Clip", text_embeddings: Tensor, score: str) -> None:
        self._clip = clip
        self._text_embeddings = text_embeddings
        self._score = score

    def __call__(self, views: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Weigher`."""
        embeddings = self._clip.encode_image(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        scale = 1 / self._clip.temperature
        return image_text_scores(embeddings, self._text_embeddings, labels, scale, self._score)


class TextWeigher:
    """How distinctive the class is among the prompts of each view; looks at no image.

    Args:
        text_embeddings: `[V, K, D]`, on the device.
    """

    def __init__(self, text_embeddings: Tensor) -> None:
        self._text_embeddings = text_embeddings

    def __call__(self, views: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Weigher`."""
        return text_scores(self._text_embeddings, labels)


def confidence_weigher(views: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """The visual teacher's own confidence in the class; see `Weigher`."""
    return teacher_confidence_scores(logits, labels)


def uniform_weigher(views: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """No preference; see `Weigher`."""
    return uniform_scores(len(views), labels)


def make_weigher(settings: "WeightingSettings", clip: "Clip | None", text_embeddings: Tensor | None) -> Weigher:
    """The weigher that `distill.weighting` asks for.

    Args:
        settings: the recipe's section.
        clip: needed by `image_text`.
        text_embeddings: `[V, K, D]`, needed by `image_text` and `text`.

    Raises:
        UsageError: the text teacher cannot give what the weighting needs.
    """
    if settings.by == "uniform":
        return uniform_weigher
    if settings.by == "teacher_confidence":
        return confidence_weigher
    if text_embeddings is None or (settings.by == "image_text" and clip is None):
        raise UsageError(f"distill.weighting.by: {settings.by} needs more than teacher.text has")
    if settings.by == "text" or clip is None:
        return TextWeigher(text_embeddings)
    return ImageTextWeigher(clip, text_embeddings, settings.score)
