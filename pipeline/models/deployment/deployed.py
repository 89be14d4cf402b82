"""Frozen teachers behind the interfaces of the networks that they were."""

from dataclasses import replace

import torch
from torch import Tensor

from pipeline.models.clip import Clip
from pipeline.models.deployment import runners
from pipeline.models.deployment.choice import Decision, Place, choose
from pipeline.models.deployment.frozen import Frozen, FrozenClassifier, FrozenTower
from pipeline.models.deployment.runners import Run
from pipeline.models.deployment.settings import Runtime
from pipeline.models.deployment.sharding import ShardedNetwork
from pipeline.models.outputs import NetworkOutput
from pipeline.models.resizing import resize_images
from pipeline.models.tapped import TappedNetwork


class DeployedClassifier:
    """A frozen classifier in a runtime of its own; gives what the `TappedNetwork` that it was would give.

    Args:
        tapped: on the place's device; not needed any more afterwards.
        runtime, place: as for `choose`; the place's images may have any size.
        shard_on: device of this process, to shard the network's parameters over all processes: `runtime` is one of
            PyTorch's, and the place's device, where it is proven, the CPU. None: whole in each process.

    Attributes:
        shape: of the network.
        image_size: side of the images that it sees; others are resized.
        classifier: weight `[K, C]` and bias `[K]`; None where there are no class activation maps.
        decision: how it is run.
        sharded: the network, where it is sharded.

    Raises:
        UnavailableError, GateError: as `choose`.
    """

    def __init__(
        self, tapped: TappedNetwork, runtime: Runtime, place: Place, shard_on: torch.device | None = None
    ) -> None:
        network = FrozenClassifier(tapped)
        self.shape, self.image_size, self.device = tapped.shape, tapped.image_size, shard_on or place.device
        self.classifier = tuple(
            None if value is None else value.detach().to(self.device) for value in tapped.classifier
        )
        self._outputs = network.outputs
        self._run, self.decision, self.sharded = _deployed(network, runtime, place, shard_on)

    @property
    def identity(self) -> str:
        """As of `Decision`; other last bits where the network is sharded."""
        return _identity(self.decision, self.sharded)

    def __call__(self, images: Tensor) -> NetworkOutput:
        """Images `[n, 3, H, W]` in `[0, 1]`, of any size, to the network's output; without gradient."""
        values = self._run(resize_images(images, self.image_size))
        found = dict(zip(self._outputs, values, strict=True))
        weight, bias = self.classifier
        return NetworkOutput(
            logits=found["logits"],
            pooled=found["pooled"],
            feature_map=found.get("feature_map"),
            classifier_weight=weight,
            classifier_bias=bias,
            stage_maps=tuple(value for name, value in found.items() if name.startswith("stage")),
        )


class DeployedTower:
    """CLIP's frozen image tower in a runtime of its own; what `Clip.encode_image` is for training.

    Args:
        clip: on the place's device; its image tower is not needed any more afterwards.
        runtime, place, shard_on: as for `DeployedClassifier`.

    Attributes:
        decision: how it is run.
        sharded: the network, where it is sharded.

    Raises:
        UnavailableError, GateError: as `choose`.
    """

    def __init__(self, clip: Clip, runtime: Runtime, place: Place, shard_on: torch.device | None = None) -> None:
        self._size = clip.size
        self._run, self.decision, self.sharded = _deployed(FrozenTower(clip), runtime, place, shard_on)

    @property
    def identity(self) -> str:
        """As of `DeployedClassifier`."""
        return _identity(self.decision, self.sharded)

    def __call__(self, images: Tensor) -> Tensor:
        """Images `[n, 3, H, W]` in `[0, 1]`, of any size, to embeddings `[n, D]` float32, of unit length."""
        with torch.no_grad():
            return self._run(resize_images(images, self._size))[0].float()


def _deployed(
    network: Frozen, runtime: Runtime, place: Place, shard_on: torch.device | None
) -> tuple[Run, Decision, ShardedNetwork | None]:
    """How a network is run: as `choose` decides on the place's images at the network's size, and sharded where it is to
    be."""
    given = place.images
    place = replace(place, images=lambda: resize_images(given(), network.size))
    run, decision = choose(network, runtime, place)
    if shard_on is None:
        return run, decision, None
    del run  # it may hold a copy
    folds = decision.runtime == "torch"
    whole = runners.folded_copy(network, place.images()) if folds else runners.copied(network)
    sharded = ShardedNetwork(whole, shard_on)
    return sharded, decision, sharded


def _identity(decision: Decision, sharded: ShardedNetwork | None) -> str:
    return decision.identity + (", sharded" if sharded is not None else "")
