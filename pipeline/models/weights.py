"""Weights for a network: published ImageNet weights, or a checkpoint file in any of the forms that people have."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from exporters.core.files import sha256_file
from exporters.core.write_errors import full_cache
from exporters.student.architectures import Architecture
from exporters.student.checkpoint_file import read_weights_file
from exporters.student.key_order import OwnKeys, with_own_keys
from exporters.student.published import kept_by_script
from exporters.student.state_dict import AUXILIARY_HEADS, fit_state, without_auxiliary_heads
from pipeline.models.weight_files import checked_sha256

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# torchvision's files of these were trained with a mean and std of one half; `transform_input` turns ImageNet's into it.
_HALVES = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class LoadedWeights:
    """Where weights came from, and the normalisation they were trained with.

    Attributes:
        source: `imagenet` and the library's name of the weights, or the file's name.
        sha256: of the file, or of what the library fetched; None where its place in the cache is not known.
        mean, std: for images in `[0, 1]`.
        head_replaced: whether the classifier was left at its random initialisation, its shape being another.
        mapped: how many foreign keys were mapped to the network's own by their order, which only accuracy proves.
        notes: lines on which set of weights was taken, and how its keys were mapped.
    """

    source: str
    sha256: str | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head_replaced: bool
    mapped: int = 0
    notes: tuple[str, ...] = ()


def load_weights(
    network: nn.Module,
    architecture: Architecture,
    weights: str,
    *,
    replace_head: bool,
    sha256: str | None = None,
    key: str | None = None,
    option: str = "weights_key",
) -> LoadedWeights:
    """Load weights into a network, in place.

    Args:
        network: as `exporters.student.architectures.build` gives it, for the classes of the data set.
        architecture: what it is.
        weights: `imagenet`, or the path of a file as `exporters.student.checkpoint_file` reads it.
        replace_head: allow a classifier of another shape to stay at its initialisation, because it will be trained.
        sha256: what the file must be, checked before it is opened; None: anything.
        key: which set of weights of the file; None: see `read_weights_file`.
        option: how the user gives `key`, for messages.

    Raises:
        UsageError: a file of another suffix, or with several sets of weights none of which is plainly meant.
        UnavailableError: no such weights, no network to fetch them, a file that is another, damaged or does not fit.
    """
    notes: list[str] = []
    own_keys = OwnKeys({})
    if weights == "imagenet":
        state, loaded = _imagenet(architecture)
        state = without_auxiliary_heads(state, network, architecture)
    else:
        path = Path(weights).expanduser()
        found = checked_sha256(path, sha256) if path.is_file() else None
        file = read_weights_file(path, key, option)
        own_keys = with_own_keys(
            network.state_dict(),
            without_auxiliary_heads(file.state, network, architecture),
            ordered=file.ordered,
            free_head=replace_head,
        )
        state = own_keys.state
        kept = kept_by_script(file.settings, path)
        mean, std = kept.mean or IMAGENET_MEAN, kept.std or IMAGENET_STD
        loaded = LoadedWeights(path.name, found, mean, std, head_replaced=False)
        choice = file.choice(option)
        notes += [choice] if choice else []
        notes += [f"mean and std: as the training script kept them in {path.name}"] if kept.mean else []
        notes += [f"{path.name}: {own_keys.note}; only the accuracy on images proves it"] if own_keys.mapped else []
    remedy = "Check model and arguments against the checkpoint"
    remedy += "." if replace_head else "; a classifier for other classes needs `fit`, so that it is trained."
    replaced = fit_state(network, state, weights, replace_head=replace_head, remedy=remedy, reason=own_keys.reason)
    return replace(loaded, head_replaced=replaced, mapped=len(own_keys.mapped), notes=tuple(notes))


def _imagenet(architecture: Architecture) -> tuple[dict[str, Tensor], LoadedWeights]:
    if architecture.source == "cifar":
        raise UnavailableError(
            f"there are no ImageNet weights for {architecture.name}", remedy="Set weights to a file, or to none."
        )
    fetch = _torchvision_imagenet if architecture.source == "torchvision" else _timm_imagenet
    try:
        return fetch(architecture)
    except UnavailableError:
        raise
    except Exception as error:  # two libraries, many ways of having no network; the remedy is one
        if (full := full_cache(error, Path(torch.hub.get_dir()))) is not None:
            raise full from error
        raise UnavailableError(
            f"the ImageNet weights of {architecture.name} ({architecture.source}) are not here and cannot be fetched"
            f" ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'})",
            remedy="Connect to the internet and run again, or set weights to a file you have (path/to/file.pth)"
            " or to none.",
        ) from error


def _torchvision_imagenet(architecture: Architecture) -> tuple[dict[str, Tensor], LoadedWeights]:
    from torchvision.models import get_model_weights

    published = get_model_weights(architecture.name).DEFAULT  # type: ignore[attr-defined]
    state = published.get_state_dict(progress=False, check_hash=True)
    transform = published.transforms()
    fetched = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(published.url).path).name
    sha256 = sha256_file(fetched) if fetched.is_file() else None
    mean, std = tuple(transform.mean), tuple(transform.std)
    if architecture.name in AUXILIARY_HEADS and not architecture.arguments.get("transform_input"):
        mean, std = _HALVES, _HALVES
    return state, LoadedWeights(f"torchvision {published}", sha256, mean, std, head_replaced=False)


def _timm_imagenet(architecture: Architecture) -> tuple[dict[str, Tensor], LoadedWeights]:
    import timm

    if not timm.models.is_model_pretrained(architecture.name):
        message = f"timm has no weights for {architecture.name}"
        raise UnavailableError(message, remedy="Set weights to a file, or to none.")
    pretrained = timm.create_model(architecture.name, pretrained=True, **architecture.arguments)
    config: dict[str, Any] = pretrained.pretrained_cfg  # type: ignore[assignment]
    source = f"timm {config.get('hf_hub_id') or architecture.name}"
    return pretrained.state_dict(), LoadedWeights(
        source, _hub_sha256(config), tuple(config["mean"]), tuple(config["std"]), head_replaced=False
    )


def _hub_sha256(config: dict[str, Any]) -> str | None:
    """The SHA-256 of what timm took from the Hugging Face hub, in the order in which it looks for files."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = (config.get("hf_hub_id") or "").partition("@")
    named = config.get("hf_hub_filename")
    for name in (named,) if named else ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(repository, name, revision=revision or None) if repository else None
        if isinstance(found, str):
            return sha256_file(Path(found))
    return None
