"""Networks for training: built by name, weights loaded, normalisation and taps attached."""

from dataclasses import dataclass
from typing import Any

import torch

from exporters.core.errors import TmkdError, UsageError
from exporters.images.normalisation import normalisation_doubts
from exporters.student.architectures import Architecture, build, resolve
from exporters.student.trial import try_network
from pipeline.models.probe import OTHER_SIZE
from pipeline.models.tapped import TappedNetwork
from pipeline.models.weights import IMAGENET_MEAN, IMAGENET_STD, LoadedWeights, load_weights
from pipeline.randomness import generator

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Model:
    """A network ready to be trained or used.

    Attributes:
        tapped: the network with its taps, on the CPU.
        architecture: how it was built.
        weights: what it started from; None for a random initialisation.
        mean, std: its normalisation, for images in `[0, 1]`.
        notes: lines that its owner should read: which weights were taken, and what is doubtful.
    """

    tapped: TappedNetwork
    architecture: Architecture
    weights: LoadedWeights | None
    mean: Channels
    std: Channels
    notes: tuple[str, ...] = ()


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
    mean: Channels | None = None,
    std: Channels | None = None,
    sha256: str | None = None,
    weights_key: str | None = None,
    classifier: str | None = None,
) -> Model:
    """Build a classifier and load its weights.

    Args:
        name: of torchvision, timm or the CIFAR family.
        arguments: passed on to the architecture.
        weights: `none`, `imagenet` or the path of a file.
        classes: of the data set.
        image_size: side of the images that it sees; others are resized.
        seed: of the random initialisation.
        purpose: `student` or `teacher.visual`; names the recipe's section in messages.
        replace_head: allow a classifier for other classes to be replaced, because it will be trained.
        mean, std: for images in `[0, 1]`; None: what the weights say, else ImageNet's.
        sha256: what a weights file must be.
        weights_key: which set of weights of the file, where it holds several.
        classifier: the name of its classifier; None to search for it.

    Raises:
        UsageError: no such architecture, it cannot take images of this size, gives no logits, or `classifier` is none.
        UnavailableError: the weights are not to be had or do not fit.
    """
    try:
        source, bare = resolve(name)
        architecture = Architecture(bare, source, arguments)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(generator(seed, f"initialisation of {purpose}").integers(2**63)))
            network = build(architecture, classes)
            loaded = None
            if weights != "none":
                loaded = load_weights(
                    network,
                    architecture,
                    weights,
                    replace_head=replace_head,
                    sha256=sha256,
                    key=weights_key,
                    option=f"{purpose}.weights_key",
                )
    except TmkdError as error:
        error.message = f"{purpose}: {error.message}"
        raise
    own_mean, own_std = (loaded.mean, loaded.std) if loaded is not None else (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = mean or own_mean, std or own_std
    if replace_head:  # it will be trained
        try_network(network, image_size, f"{purpose}.model", remedy=OTHER_SIZE, training=True)
    tapped = TappedNetwork(network, mean, std, image_size, classifier, purpose)
    if tapped.shape.classes != classes:
        raise UsageError(
            f"{purpose}.model: the network gives {tapped.shape.classes} values an image for {classes} classes",
            remedy=f"Leave out what changes them in {purpose}.arguments.",
        )
    notes = (*(loaded.notes if loaded is not None else ()), *normalisation_doubts(mean, std))
    notes = tuple(f"{purpose}: {note}" for note in notes)
    return Model(tapped, architecture, loaded, mean, std, notes)
