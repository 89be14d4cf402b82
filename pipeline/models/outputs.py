"""What a network hands to a distillation method, whichever library it comes from."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class NetworkShape:
    """What can be known of a network before any image is seen.

    Attributes:
        classes: number of classes, K.
        channels: width of the pooled features, C.
        map_size: height and width of the last feature map at the working image size; None for a net without one.
        has_cam: whether the classifier is one linear layer on the pooled feature map, so that class activation maps
            exist.
        has_classifier: whether the logits come from a linear layer; without one, there are no pooled features, and the
            logits stand in their place.
        stages: channels, height and width of the map that ends each stage (each size of map on the way down) at the
            working image size, shallow to deep, four at most; none for a net of tokens, such as a ViT.
    """

    classes: int
    channels: int
    map_size: tuple[int, int] | None
    has_cam: bool
    has_classifier: bool = True
    stages: tuple[tuple[int, int, int], ...] = ()


class NetworkOutput(NamedTuple):
    """One forward pass of a teacher (or of fused teacher views) or of a student.

    A tuple, because Lightning Fabric converts what a wrapped module is given, which it cannot in a frozen dataclass.

    Attributes:
        logits: `[B, K]`.
        pooled: `[B, C]`, what the classifier sees; the logits where `NetworkShape.has_classifier` is false.
        feature_map: `[B, C, h, w]`, the last map before pooling; None where the net has none.
        classifier_weight: `[K, C]`, given when `NetworkShape.has_cam`.
        classifier_bias: `[K]` or None.
        stage_maps: `[B, C_i, h_i, w_i]` for each of `NetworkShape.stages`; empty unless they were asked for.
    """

    logits: Tensor
    pooled: Tensor
    feature_map: Tensor | None = None
    classifier_weight: Tensor | None = None
    classifier_bias: Tensor | None = None
    stage_maps: tuple[Tensor, ...] = ()

    @property
    def last_features(self) -> Tensor:
        """The last feature map; the pooled features where there is none."""
        return self.pooled if self.feature_map is None else self.feature_map
