"""What the images of a CLIP in training are contrasted with: the embedding of each class in each view."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pipeline.models.clip import Clip
from pipeline.randomness import Samples, generator
from pipeline.tmkd.contrast import centre_anchors
from pipeline.tmkd.prompts import Prompts, encode_prompts
from pipeline.tmkd.views.views import Views


class ClassTexts(Protocol):
    """Gives the classes' embeddings while a CLIP is trained, and afterwards."""

    def sampled(self, samples: Samples) -> Tensor:
        """`[V, K, D]`, unit length, on the device, with gradient where they are learnt."""

    def embeddings(self, views: Views) -> Tensor:
        """`[V, K, D]`, unit length, on the device, without gradient, as `encode_prompts` gives them."""


class PromptTexts:
    """Prompts through a text tower that is trained with them: one template a view at a time.

    Args:
        clip: with a text tower.
        prompts: several templates a view.
        views: V views.
        classes: K names.
        seed: of the sampled templates.
    """

    def __init__(self, clip: Clip, prompts: Prompts, views: Views, classes: Sequence[str], seed: int) -> None:
        self._clip = clip
        self._prompts = prompts
        self._classes = classes
        self._seed = seed
        # view → [templates, K, context]
        self._tokens = [
            torch.stack([clip.tokenize([template.replace("{}", name) for name in classes]) for template in templates])
            for templates in (prompts.templates(view, kind) for view, kind in views.kinds.items())
        ]

    def sample_tokens(self, samples: Samples) -> Tensor:
        """One template a view, by the batch's first sample: int64 `[V, K, context]`, on the CPU."""
        random = generator(self._seed, "template for the text teacher", samples.epoch, int(samples.indices[0]))
        return torch.stack([tokens[int(random.integers(len(tokens)))] for tokens in self._tokens])

    def encode(self, tokens: Tensor) -> Tensor:
        """Embeddings `[V, K, D]` of tokens `[V, K, context]`, on their device."""
        return self._clip.encode_tokens(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])

    def sampled(self, samples: Samples) -> Tensor:
        """The embeddings of `sample_tokens`; see `ClassTexts`."""
        return self.encode(self.sample_tokens(samples).to(self._clip.mean.device))

    def embeddings(self, views: Views) -> Tensor:
        """The mean over all templates; see `ClassTexts`."""
        return encode_prompts(self._clip.encode_text, self._prompts, self._classes, views.kinds)


class AnchorTexts:
    """Anchors from a file, the same in every view, less their mean over the classes.

    Raw CLIP anchors lie close together, so that a fit to them would mostly learn the direction that all of them share.

    Args:
        anchors: `[K, D]`, on the device.
        views: V, their number.
    """

    def __init__(self, anchors: Tensor, views: int) -> None:
        self._anchors = centre_anchors(anchors, centre=True)
        self._views = views

    def sampled(self, samples: Samples) -> Tensor:
        """The anchors; see `ClassTexts`."""
        return self._anchors.expand(self._views, -1, -1)

    def embeddings(self, views: Views) -> Tensor:
        """The anchors; see `ClassTexts`."""
        return self._anchors.expand(len(views), -1, -1)
