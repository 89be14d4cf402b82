"""The interface of every runtime: uint8 images in, logits out."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from exporters.core.errors import UsageError


class Explained(NamedTuple):
    """What a runtime answers, and where it looks.

    Attributes:
        logits: float32 `[B, K]`.
        cam: the class activation map of each image's most likely class, float32 `[B, h, w]`, not scaled: its mean plus
            the class's bias is the largest logit.
    """

    logits: np.ndarray
    cam: np.ndarray


class Runtime(Protocol):
    """Something that classifies images."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Uint8 RGB `[B, H, W, 3]`, B of 1 or more, to float32 logits `[B, K]`; anything else raises UsageError."""
        ...


@runtime_checkable
class Explainer(Runtime, Protocol):
    """A runtime that also shows where it looks."""

    def explain(self, images: np.ndarray) -> Explained:
        """Logits and class activation maps; UsageError where it has none, or for what `predict` does not take."""
        ...


def check_images(images: np.ndarray, size: int | None) -> None:
    """Raise UsageError unless the images are uint8 `[B, size, size, 3]`, B of 1 or more; a size of None allows any."""
    sides = images.shape[1:3] if size is None and images.size else (size, size)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (*sides, 3) or len(images) == 0:
        wanted = "height, width" if size is None else f"{size}, {size}"
        raise UsageError(f"need uint8 images [batch, {wanted}, 3], not {images.dtype} {list(images.shape)}")
