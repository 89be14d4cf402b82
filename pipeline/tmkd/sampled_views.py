"""Samples one view per image; used to fit a teacher that will see all views of each image."""

import torch
from torch import Tensor

from pipeline.randomness import Samples, batch_generator
from pipeline.tmkd.views.views import Views


class SampledViews:
    """Shows each image in one of the views, with equal chances; (seed, purpose, epoch, index) decides which.

    Args:
        views: V views.
        seed: of the draws.
        purpose: names the random stream, so that two teachers sample independently.
    """

    def __init__(self, views: Views, seed: int, purpose: str) -> None:
        self._views = views
        self._seed = seed
        self._purpose = purpose

    def sample(self, samples: Samples) -> Tensor:
        """The view of each image: int64 `[B]` in 0 to V-1, on the CPU."""
        random = batch_generator(self._seed, self._purpose, samples.epoch, samples.indices.numpy())
        return torch.from_numpy(random.integers(0, len(self._views), 1)[:, 0])

    @torch.no_grad()
    def __call__(self, images: Tensor, sampled: Tensor) -> Tensor:
        """Each image in its sampled view.

        Args:
            images: `[B, 3, S, S]` in `[0, 1]`, plain.
            sampled: int64 `[B]`, of `sample`, on any device.

        Returns:
            `[B, 3, S, S]` in `[0, 1]`, dtype and device of `images`.
        """
        views = self._views(images)
        return views[sampled.to(views.device), torch.arange(len(images), device=views.device)]
