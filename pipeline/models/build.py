"""Networks for training: built by name, weights loaded, normalisation and taps attached."""

from dataclasses import dataclass
from typing import Any

import torch

from exporters.architectures import Architecture, build, resolve
from exporters.errors import TmkdError, UsageError
from pipeline.models.tapped import TappedNetwork
from pipeline.models.weights import IMAGENET_MEAN, IMAGENET_STD, LoadedWeights, load_weights
from pipeline.randomness import generator


@dataclass(frozen=True)
class Model:
    """A network ready to be trained or used.

    Attributes:
        tapped: the network with its taps, on the CPU.
        architecture: how it was built.
        weights: what it started from; None for a random initialisation.
    """

    tapped: TappedNetwork
    architecture: Architecture
    weights: LoadedWeights | None

    @property
    def mean(self) -> tuple[float, float, float]:
        """The normalisation that the weights were trained with, for images in `[0, 1]`."""
        return self.weights.mean if self.weights is not None else IMAGENET_MEAN

    @property
    def std(self) -> tuple[float, float, float]:
        """See `mean`."""
        return self.weights.std if self.weights is not None else IMAGENET_STD


def build_model(
    name: str,
    arguments: dict[str, Any],
    weights: str,
    classes: int,
    image_size: int,
    *,
    seed: int,
    purpose: str,
    replace_head: bool,
) -> Model:
    """Build a classifier and load its weights.

    Args:
        name: of torchvision, timm or the CIFAR family.
        arguments: passed on to the architecture.
        weights: `none`, `imagenet` or the path of a file.
        classes: of the data set.
        image_size: side of the images that it will see.
        seed: of the random initialisation.
        purpose: `student` or `teacher.visual`; names the recipe's section in messages.
        replace_head: allow a classifier for other classes to be replaced, because it will be trained.

    Raises:
        UsageError: no such architecture, or it cannot take images of this size.
        UnavailableError: the weights are not to be had or do not fit.
    """
    try:
        source, bare = resolve(name)
        architecture = Architecture(bare, source, arguments)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator(seed, f"initialisation of {purpose}").integers(2**63)))
            network = build(architecture, classes)
            loaded = None
            if weights != "none":
                loaded = load_weights(network, architecture, weights, replace_head=replace_head)
    except TmkdError as error:
        error.message = f"{purpose}: {error.message}"
        raise
    mean, std = (loaded.mean, loaded.std) if loaded is not None else (IMAGENET_MEAN, IMAGENET_STD)
    return Model(_tap(network, mean, std, image_size, purpose), architecture, loaded)


def _tap(network: Any, mean: Any, std: Any, image_size: int, purpose: str) -> TappedNetwork:
    try:
        return TappedNetwork(network, mean, std, image_size)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"{purpose}.model: the network cannot take images of {image_size} × {image_size}"
            f" ({(str(error) or type(error).__name__).splitlines()[0]})",
            remedy="Change data.image_size, or give the network's own argument for it (img_size for many of timm's).",
        ) from error
