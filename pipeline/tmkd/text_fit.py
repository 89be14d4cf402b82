"""A small CLIP trained on the training split, so that a text teacher that means something needs no download.

Each image is shown in one view, drawn for this image and pass, beside prompts of that view; the loss is the contrast of
line 11 within each view, with CLIP's learnt temperature.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.models.clip import Clip
from pipeline.randomness import generator
from pipeline.tmkd.contrast import image_text_contrast
from pipeline.tmkd.drawn_views import DrawnViews
from pipeline.tmkd.prompts import Prompts
from pipeline.tmkd.views.views import Views


class TextFit(nn.Module):
    """The CLIP in training, with the tokens of every prompt.

    Args:
        clip: at its random initialisation.
        prompts: several templates a view.
        views: the views of the recipe.
        classes: K names.
        seed: of the draws of views and templates.
    """

    def __init__(self, clip: Clip, prompts: Prompts, views: Views, classes: Sequence[str], seed: int) -> None:
        super().__init__()
        self.clip = clip
        self._drawn = DrawnViews(views, seed, "view for the text teacher")
        self._seed = seed
        # view → [templates, K, context]
        self._tokens = [
            torch.stack([clip.tokenize([template.replace("{}", name) for name in classes]) for template in templates])
            for templates in (prompts.templates(view, kind) for view, kind in views.kinds.items())
        ]

    def draw_views(self, pass_: int, indices: Tensor) -> Tensor:
        """The view in which each image is shown in a pass: int64 `[B]`, from the samples' indices `[B]`."""
        return self._drawn.draw(pass_, indices)

    def draw_tokens(self, pass_: int, index: int) -> Tensor:
        """One template a view, by the batch's first sample: int64 `[V, K, context]`."""
        random = generator(self._seed, "template for the text teacher", pass_, index)
        return torch.stack([tokens[int(random.integers(len(tokens)))] for tokens in self._tokens])

    def forward(self, images: Tensor, labels: Tensor, drawn: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """The contrastive loss of a batch.

        Args:
            images: `[B, 3, S, S]` in `[0, 1]`, plain.
            labels: `[B]` int64.
            drawn: `[B]` int64, of `draw_views`.
            tokens: `[V, K, context]`, of `draw_tokens`.

        Returns:
            `{"contrast": 0-d float32}`.
        """
        embeddings = self.clip.encode_image(self._drawn(images, drawn))
        texts = self.clip.encode_tokens(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        temperature = self.clip.temperature
        losses = []
        for view in drawn.unique().tolist():
            members = drawn == view
            share = members.float().mean()
            losses.append(share * image_text_contrast(embeddings[members], texts[view], labels[members], temperature))
        return {"contrast": torch.stack(losses).sum()}
