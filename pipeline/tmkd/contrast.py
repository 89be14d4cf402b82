"""Vision-language contrast: TMKD (arXiv 2603.24208), our reconstruction, line 11."""

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.tmkd.precision import full_precision, widen


def centre_anchors(text: Tensor, centre: bool) -> Tensor:
    """Text anchors of the classes, without the direction that all of them share.

    Raw CLIP embeddings of class prompts lie close together, which leaves even a perfect alignment a large loss.

    Args:
        text: `[K, D]`, the rgb prompts' embeddings; normalised here.
        centre: subtract the mean over the classes and normalise again.

    Returns:
        `[K, D]` fp32 (float64 for float64), rows of length 1 (0 where all classes have one embedding).
    """
    with full_precision(text):
        anchors = F.normalize(widen(text), dim=-1)
        return F.normalize(anchors - anchors.mean(dim=0, keepdim=True), dim=-1) if centre else anchors


def image_text_contrast(embeddings: Tensor, anchors: Tensor, labels: Tensor, temperature: float | Tensor) -> Tensor:
    """Contrast of images with class anchors in both directions, many images to a class.

    With `s = u·tᵀ/τ`: ½ · `mean_i -log softmax_k(s_i)[y_i]` + ½ · the mean over the classes present in the batch of
    `-(1/|P_k|) Σ_{i∈P_k} log softmax_i(s_·k)[i]`, where `P_k` are the images of class k.

    Args:
        embeddings: `[B, D]`; normalised here. B at least 1.
        anchors: `[K, D]`; normalised here.
        labels: `[B]` int64 in [0, K).
        temperature: τ above 0, a number or a 0-d tensor that may be learnt.

    Returns:
        0-d, fp32 (float64 for float64), 0 or more.
    """
    with full_precision(embeddings):
        images = F.normalize(widen(embeddings), dim=-1)
        texts = F.normalize(widen(anchors), dim=-1).to(images.dtype)
        scores = images @ texts.T / temperature
        image_to_text = F.cross_entropy(scores, labels)
        members = F.one_hot(labels, scores.shape[1]).to(scores.dtype)
        counts = members.sum(dim=0)
        per_class = -(members * scores.log_softmax(dim=0)).sum(dim=0) / counts.clamp(min=1)
        text_to_image = per_class.sum() / (counts > 0).sum()
        return (image_to_text + text_to_image) / 2


class ContrastHead(nn.Module):
    """Linear projection of the student's pooled features to the text width; training-time only.

    Args:
        channels: width of the pooled features, C.
        width: text width, D.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, width)

    def forward(self, pooled: Tensor) -> Tensor:
        """`[B, C]` → `[B, D]` fp32, not normalised."""
        with full_precision(pooled):
            embeddings: Tensor = self.projection(pooled.to(self.projection.weight.dtype))
            return embeddings
