"""A small CLIP trained on the training split, so that a useful text teacher needs no download.

Each image is shown in one view, sampled for this image and epoch, with prompts of that view. The loss is the image-text
contrast within each view, with CLIP's learnt temperature.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pipeline.distributed.collectives import gathered, gathered_samples
from pipeline.models.clip import Clip
from pipeline.models.outputs import NetworkOutput
from pipeline.randomness import Samples
from pipeline.tmkd.class_texts import PromptTexts
from pipeline.tmkd.contrast import image_text_contrast
from pipeline.tmkd.prompts import Prompts
from pipeline.tmkd.sampled_views import SampledViews
from pipeline.tmkd.views.views import Views


class TextFit(nn.Module):
    """The CLIP in training, with the tokens of every prompt.

    Args:
        clip: at its random initialisation.
        prompts: several templates a view.
        views: the views of the recipe.
        classes: K names.
        seed: of the sampled views and templates.
    """

    def __init__(self, clip: Clip, prompts: Prompts, views: Views, classes: Sequence[str], seed: int) -> None:
        super().__init__()
        self.clip = clip
        self._views = SampledViews(views, seed, "view for the text teacher")
        self._texts = PromptTexts(clip, prompts, views, classes, seed)

    def sample_views(self, samples: Samples) -> Tensor:
        """The view in which each image is shown: int64 `[B]`, on the CPU."""
        return self._views.sample(samples)

    def sample_tokens(self, samples: Samples) -> Tensor:
        """One template a view, by the batch's first sample: int64 `[V, K, context]`, on the CPU."""
        return self._texts.sample_tokens(samples)

    def forward(
        self, images: Tensor, labels: Tensor, guidance: NetworkOutput | None, ramp: float, samples: Samples
    ) -> dict[str, Tensor]:
        """The contrastive loss of a batch, in views and with prompts that its samples decide.

        Args:
            images: `[B, 3, S, S]` in `[0, 1]`, plain.
            labels: `[B]` int64.
            guidance, ramp: not used; part of the signature of every task.
            samples: which training images these are.

        Returns:
            `{"contrast": 0-d float32}`.
        """
        # Of several processes each has a part of the batch: the prompts are those of the whole.
        views, tokens = self.sample_views(samples), self.sample_tokens(gathered_samples(samples))
        return {"contrast": self.contrast(images, labels, views.to(images.device), tokens.to(images.device))}

    def contrast(self, images: Tensor, labels: Tensor, views: Tensor, tokens: Tensor) -> Tensor:
        """The contrast within each view, weighted by the share of the images in it: 0-d float32.

        Args:
            images: `[B, 3, S, S]` in `[0, 1]`, plain.
            labels: `[B]` int64.
            views: `[B]` int64, the view of each image.
            tokens: `[V, K, context]` int64, the prompt of each class in each view.
        """
        embeddings = self.clip.encode_image(self._views(images, views))
        embeddings, labels, views = gathered(embeddings), gathered(labels), gathered(views)
        return contrast_in_views(embeddings, self._texts.encode(tokens), labels, views, self.clip.temperature)

    def metrics(self) -> dict[str, float]:
        """No figures besides the loss."""
        return {}

    def classifier(self) -> Callable[[Tensor], Tensor]:
        """Function of plain images `[B, 3, S, S]` to their similarity `[B, K]` with the prompts of the present CLIP."""
        plain = Views({})
        texts = self._texts.embeddings(plain)

        def similarities(images: Tensor) -> Tensor:
            embeddings = self.clip.encode_image(plain(images)[0])
            return torch.einsum("bd,kd->bk", embeddings, texts[0].to(embeddings))

        return similarities


def contrast_in_views(
    embeddings: Tensor, texts: Tensor, labels: Tensor, views: Tensor, temperature: float | Tensor
) -> Tensor:
    """The image-text contrast within each view, weighted by the share of the images in it: 0-d float32.

    Args:
        embeddings: `[B, D]`, of each image in its view.
        texts: `[V, K, D]`, of each class in each view.
        labels: `[B]` int64.
        views: `[B]` int64, the view of each image.
        temperature: τ above 0.
    """
    losses = []
    for view in views.unique().tolist():
        members = views == view
        share = members.float().mean()
        losses.append(share * image_text_contrast(embeddings[members], texts[view], labels[members], temperature))
    return torch.stack(losses).sum()
