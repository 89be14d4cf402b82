"""A projection from a frozen image tower into the text space, trained on the tower's features.

The tower has looked at each image in each view once, before the fit; an epoch touches no image.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.distributed.collectives import gathered, gathered_samples
from pipeline.models.clip import Clip
from pipeline.models.clip_tower import encode_features
from pipeline.models.outputs import NetworkOutput
from pipeline.randomness import Samples
from pipeline.tmkd.class_texts import ClassTexts
from pipeline.tmkd.sampled_views import SampledViews
from pipeline.tmkd.text_fit import contrast_in_views
from pipeline.tmkd.views.views import Views


class TowerFit(nn.Module):
    """The projection in training, and the text tower with it where the classes' texts come from one.

    Args:
        clip: of `build_projected_clip`.
        texts: the classes' embeddings in each view.
        views: the views of the recipe.
        seed: of the sampled views.
    """

    def __init__(self, clip: Clip, texts: ClassTexts, views: Views, seed: int) -> None:
        super().__init__()
        self.clip = clip
        self._texts = texts
        self._views = SampledViews(views, seed, "view for the text teacher")

    def forward(
        self, images: Tensor, labels: Tensor, guidance: NetworkOutput | None, ramp: float, samples: Samples
    ) -> dict[str, Tensor]:
        """The contrastive loss of a batch, in views and with prompts that its samples decide.

        Args:
            images: the images' features in each view, `[B, V, C]` float32.
            labels: `[B]` int64.
            guidance, ramp: not used; part of the signature of every task.
            samples: which training images these are.

        Returns:
            `{"contrast": 0-d float32}`.
        """
        views = self._views.sample(samples).to(images.device)
        seen = images[torch.arange(len(images), device=images.device), views]
        embeddings, texts = gathered(encode_features(self.clip, seen)), self._texts.sampled(gathered_samples(samples))
        labels, views = gathered(labels), gathered(views)
        return {"contrast": contrast_in_views(embeddings, texts, labels, views, self.clip.temperature)}

    def metrics(self) -> dict[str, float]:
        """No figures besides the loss."""
        return {}

    def classifier(self) -> Callable[[Tensor], Tensor]:
        """Function of features `[B, V, C]`, of which rgb (the first) counts, to similarities `[B, K]` with prompts."""
        texts = self._texts.embeddings(Views({}))[0]

        def similarities(features: Tensor) -> Tensor:
            embeddings = encode_features(self.clip, features[:, 0])
            return embeddings @ texts.to(embeddings).T

        return similarities
