"""A CLIP whose image tower is another network: its pooled features, projected into the text space.

The network stays as it is. What is learnt on the data is the projection, and the text tower where there is one.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.clip import Clip, build_clip
from pipeline.models.tapped import TappedNetwork
from pipeline.randomness import generator

_LOGIT_SCALE = math.log(1 / 0.07)  # at the start, as CLIP's authors have it


class FeatureProjection(nn.Module):
    """Pooled features into the text space: a layer norm, because networks differ in scale, then a linear map.

    Args:
        channels: width of the pooled features, C.
        width: text width, D.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.projection = nn.Linear(channels, width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """`[n, C]` → `[n, D]`, not normalised."""
        projected: Tensor = self.projection(self.norm(features))
        return projected


class WithoutText(nn.Module):
    """What is left of a CLIP where text anchors come from a file: the projection and the scale.

    Args:
        projection: `model.visual` of the CLIP.
    """

    def __init__(self, projection: FeatureProjection) -> None:
        super().__init__()
        self.visual = projection
        self.logit_scale = nn.Parameter(torch.tensor(_LOGIT_SCALE))


class TowerClip(Clip):
    """A CLIP that looks at images by a network of another kind.

    Args:
        clip: of `build_projected_clip`; its projection and text tower are shared, not copied.
        tower: gives the pooled features `[n, C]`; it resizes and normalises images itself. Put into eval mode.

    Attributes:
        tower: the network.
    """

    def __init__(self, clip: Clip, tower: TappedNetwork) -> None:
        normalisation = (values.flatten().tolist() for values in (tower.mean, tower.std))
        super().__init__(clip.model, clip._tokenizer, tower.image_size, *normalisation)
        self.tower = tower.eval().requires_grad_(False)

    def encode_image(self, images: Tensor) -> Tensor:
        """Image embeddings `[n, D]`, unit length, float32, of images `[n, 3, H, W]` in `[0, 1]` of any size."""
        return encode_features(self, self.tower(images).pooled.float())


def encode_features(clip: Clip, features: Tensor) -> Tensor:
    """Image embeddings `[n, D]`, unit length, float32, of a tower's pooled features `[n, C]`."""
    projection: Callable[[Tensor], Tensor] = clip.model.visual  # type: ignore[assignment]
    return functional.normalize(projection(features).float(), dim=-1)


def build_projected_clip(model: str | None, channels: int, seed: int = 0, width: int | None = None) -> Clip:
    """A CLIP with a projection of features in the place of its image tower, at its random initialisation.

    Args:
        model: as for `pipeline.models.clip.build_clip`, for its text tower; None: no text tower.
        channels: width of the features, C.
        seed: of the initialisation.
        width: text width D; needed without a model, which else says it.

    Raises:
        UsageError: no such model, or a JSON that describes none.
        UnavailableError: no such file.
    """
    clip = build_clip(model, seed) if model is not None else None
    if clip is not None:
        width = clip.encode_text(["a"]).shape[1]
    assert width is not None
    with torch.random.fork_rng(devices=[]):
        drawn = generator(seed, "initialisation of teacher.text.tower").integers(2**63)
        torch.default_generator.manual_seed(int(drawn))
        projection = FeatureProjection(channels, width)
    if clip is None:
        no_tokenizer: Any = None
        return Clip(WithoutText(projection), no_tokenizer, 0, (0.0,) * 3, (1.0,) * 3)
    clip.model.visual = projection
    return clip
