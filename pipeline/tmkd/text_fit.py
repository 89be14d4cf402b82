"""A small CLIP trained on the training split, so that a useful text teacher needs no download.

Each image is shown in one view, sampled for this image and epoch, with prompts of that view. The loss is the image-text
contrast within each view, with CLIP's learnt temperature.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pipeline.models.clip import Clip
from pipeline.models.outputs import NetworkOutput
from pipeline.randomness import Samples, generator
from pipeline.tmkd.contrast import image_text_contrast
from pipeline.tmkd.prompts import Prompts, encode_prompts
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
        self._prompts = prompts
        self._classes = classes
        self._views = SampledViews(views, seed, "view for the text teacher")
        self._seed = seed
        # view → [templates, K, context]
        self._tokens = [
            torch.stack([clip.tokenize([template.replace("{}", name) for name in classes]) for template in templates])
            for templates in (prompts.templates(view, kind) for view, kind in views.kinds.items())
        ]

    def sample_views(self, samples: Samples) -> Tensor:
        """The view in which each image is shown: int64 `[B]`, on the CPU."""
        return self._views.sample(samples)

    def sample_tokens(self, samples: Samples) -> Tensor:
        """One template a view, by the batch's first sample: int64 `[V, K, context]`, on the CPU."""
        random = generator(self._seed, "template for the text teacher", samples.epoch, int(samples.indices[0]))
        return torch.stack([tokens[int(random.integers(len(tokens)))] for tokens in self._tokens])

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
        views, tokens = self.sample_views(samples), self.sample_tokens(samples)
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
        texts = self.clip.encode_tokens(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        temperature = self.clip.temperature
        losses = []
        for view in views.unique().tolist():
            members = views == view
            share = members.float().mean()
            losses.append(share * image_text_contrast(embeddings[members], texts[view], labels[members], temperature))
        return torch.stack(losses).sum()

    def metrics(self) -> dict[str, float]:
        """No figures besides the loss."""
        return {}

    def classifier(self) -> Callable[[Tensor], Tensor]:
        """Function of plain images `[B, 3, S, S]` to their similarity `[B, K]` with the prompts of the present CLIP."""
        plain = Views({})
        texts = encode_prompts(self.clip.encode_text, self._prompts, self._classes, plain.kinds)

        def similarities(images: Tensor) -> Tensor:
            embeddings = self.clip.encode_image(plain(images)[0])
            return torch.einsum("bd,kd->bk", embeddings, texts[0].to(embeddings))

        return similarities
