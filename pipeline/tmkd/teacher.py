"""The multi-view teacher: lines 1 to 8 in one call, from a batch to one fused teacher output."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork
from pipeline.tmkd.fusion import fuse_output, split_views
from pipeline.tmkd.views import Views
from pipeline.tmkd.weighers import Weigher
from pipeline.tmkd.weighting import label_free_labels, view_weights


@dataclass(frozen=True)
class ViewedBatch:
    """What the teacher makes of a batch before any label has been looked at.

    Attributes:
        images: `[V, B, 3, H, W]` in `[0, 1]`.
        output: of the visual teacher, each tensor `[V, B, …]`.
    """

    images: Tensor
    output: NetworkOutput


class MultiViewTeacher:
    """A frozen visual teacher on several views, fused by the weigher's scores.

    With `views` of rgb alone it is the ordinary teacher, whatever the weigher says.

    Args:
        visual: the visual teacher, on the device; put into eval mode, its gradients off.
        views: rgb and what the recipe adds.
        weigher: scores the views of each image.
        temperature: τ_w.
    """

    def __init__(self, visual: TappedNetwork, views: Views, weigher: Weigher, temperature: float) -> None:
        self.visual = visual.eval().requires_grad_(False)
        self.views = views
        self._weigher = weigher
        self._temperature = temperature

    @torch.no_grad()
    def look(self, images: Tensor) -> ViewedBatch:
        """All views of a batch `[B, 3, H, W]` in `[0, 1]`, in one pass of `V·B` images (lines 1 to 3)."""
        views = self.views(images)
        batch = views.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return ViewedBatch(views, split_views(self.visual(batch), len(self.views)))

    @torch.no_grad()
    def weigh(self, viewed: ViewedBatch, labels: Tensor) -> Tensor:
        """Weights `[B, V]` under the given labels `[B]` (lines 5 and 6)."""
        return view_weights(self._weigher(viewed.images, viewed.output.logits, labels), self._temperature)

    def weigh_label_free(self, viewed: ViewedBatch) -> Tensor:
        """Weights `[B, V]` with the argmax of the views' mean logits in the place of the labels."""
        return self.weigh(viewed, label_free_labels(viewed.output.logits))

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor) -> NetworkOutput:
        """The fused teacher on training images `[B, 3, H, W]` in `[0, 1]` with their true labels (lines 1 to 8)."""
        viewed = self.look(images)
        return fuse_output(self.weigh(viewed, labels), viewed.output)
