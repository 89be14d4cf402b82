"""One view of each image, drawn: what a teacher is trained on that will be shown all of them."""

import torch
from torch import Tensor

from pipeline.randomness import generator
from pipeline.tmkd.views.views import Views


class DrawnViews:
    """Each image in one of the views, which (seed, purpose, pass, index) decides, with equal chances.

    Args:
        views: V views.
        seed: of the draws.
        purpose: names the stream, so that two teachers draw apart.
    """

    def __init__(self, views: Views, seed: int, purpose: str) -> None:
        self._views = views
        self._seed = seed
        self._purpose = purpose

    def draw(self, pass_: int, indices: Tensor) -> Tensor:
        """The view of each image in a pass: int64 `[B]` in 0 to V-1, from the samples' indices `[B]`."""
        draws = [
            int(generator(self._seed, self._purpose, pass_, index).integers(len(self._views)))
            for index in indices.tolist()
        ]
        return torch.tensor(draws)

    @torch.no_grad()
    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """The images in the views that were drawn.

        Args:
            images: `[B, 3, S, S]` in `[0, 1]`, plain.
            drawn: int64 `[B]`, of `draw`, on any device.

        Returns:
            `[B, 3, S, S]` in `[0, 1]`, dtype and device of `images`.
        """
        views = self._views(images)
        return views[drawn.to(views.device), torch.arange(len(images), device=views.device)]
