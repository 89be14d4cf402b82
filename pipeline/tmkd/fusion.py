"""One teacher out of several views: TMKD (arXiv 2603.24208), our reconstruction, lines 3, 7 and 8."""

import torch
from torch import Tensor

from pipeline.models.outputs import NetworkOutput
from pipeline.tmkd.precision import full_precision, widen


def fuse(weights: Tensor, values: Tensor) -> Tensor:
    """`Σ_v w_v · values_v`, for feature maps (line 7), logits (line 8) or anything else that is per view and image.

    Args:
        weights: `[B, V]`, rows sum to 1.
        values: `[V, B, …]`.

    Returns:
        `[B, …]` fp32 (float64 for float64).

    Raises:
        ValueError: the numbers of views or images differ.
    """
    if values.shape[:2] != weights.shape[::-1]:
        raise ValueError(f"weights {list(weights.shape)} do not fit values {list(values.shape)}")
    with full_precision(values):
        columns = widen(weights).T.reshape(*values.shape[:2], *[1] * (values.dim() - 2))
        # View by view: no second copy of all maps, and no matrix product that a GPU would round to TF32.
        fused = columns[0] * widen(values[0])
        for column, value in zip(columns[1:], values[1:], strict=True):
            fused = torch.addcmul(fused, column, widen(value))
        return fused


def own_view_weights(weights: Tensor, shown: Tensor) -> Tensor:
    """Weights for a student that is shown views: all on the view that an image is shown in, except for rgb.

    An image that is shown as it is keeps its weights, so that its answer is still the fused one.

    Args:
        weights: `[B, V]`, rows sum to 1; the first view is rgb.
        shown: `[B]` int64 in [0, V), the view of each image.

    Returns:
        `[B, V]`, rows sum to 1.
    """
    own = torch.nn.functional.one_hot(shown, weights.shape[1])
    return torch.where((shown == 0).unsqueeze(1), weights, own)


def split_views(output: NetworkOutput, views: int) -> NetworkOutput:
    """The same output with views and images apart: `[V·B, …]` → `[V, B, …]`, from one pass over all views (line 3)."""

    def split(values: Tensor) -> Tensor:
        return values.reshape(views, -1, *values.shape[1:])

    return NetworkOutput(
        logits=split(output.logits),
        pooled=split(output.pooled),
        feature_map=None if output.feature_map is None else split(output.feature_map),
        classifier_weight=output.classifier_weight,
        classifier_bias=output.classifier_bias,
        stage_maps=tuple(split(stage_map) for stage_map in output.stage_maps),
    )


def fuse_output(weights: Tensor, output: NetworkOutput) -> NetworkOutput:
    """The fused teacher, which a distillation method takes like any other teacher (lines 7 and 8).

    Args:
        weights: `[B, V]`, rows sum to 1.
        output: of `split_views`, each tensor `[V, B, …]`.

    Returns:
        Each tensor `[B, …]` fp32. Fusion is linear, so that pooled class activation maps still give the logits.
    """
    return NetworkOutput(
        logits=fuse(weights, output.logits),
        pooled=fuse(weights, output.pooled),
        feature_map=None if output.feature_map is None else fuse(weights, output.feature_map),
        classifier_weight=output.classifier_weight,
        classifier_bias=output.classifier_bias,
        stage_maps=tuple(fuse(weights, stage_map) for stage_map in output.stage_maps),
    )
