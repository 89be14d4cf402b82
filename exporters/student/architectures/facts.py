"""Parameters and published weights of every network, without the libraries that have them: a list that ships.

`make names` writes it from the installed libraries, next to the list of names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from exporters.core.files import read_json, write_json
from exporters.student.architectures import CIFAR_NAMES, SOURCES, Architecture, build, parse
from exporters.student.architectures.names import installed_names, shipped_names

LIST = Path(__file__).with_name("facts.json")
"""Source → name → `[parameters, weights]`."""

CLASSES = {"torchvision": 1000, "timm": 1000, "cifar": 100}
"""Classes of the networks whose parameters are counted."""


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a network without building it.

    Attributes:
        name: as recipes and `--model` take it: with its source only where the bare name is another network.
        source: `torchvision`, `timm` or `cifar`.
        parameters: with 1,000 classes (cifar: 100); None where it could not be built to be counted.
        weights: where `weights: imagenet` comes from: a URL, or `hub:` and a repository of the Hugging Face hub; None
            where nothing is published.
    """

    name: str
    source: str
    parameters: int | None
    weights: str | None


@cache
def known_networks() -> tuple[NetworkFacts, ...]:
    """Every network that the list has, by source and name."""
    facts = read_json(LIST)
    found, taken = [], set()
    for source in SOURCES:
        names = CIFAR_NAMES if source == "cifar" else sorted(shipped_names(source))
        for name in names:
            parameters, weights = facts[source].get(name, (None, None))
            found.append(NetworkFacts(f"{source}:{name}" if name in taken else name, source, parameters, weights))
        taken |= set(names)
    return tuple(found)


def facts_of(name: str) -> NetworkFacts | None:
    """The facts of a network by a name as recipes have it; None where the list does not know it.

    Raises:
        UsageError: not a name at all.
    """
    source, bare = parse(name)
    return next(
        (
            network
            for network in known_networks()
            if source in (None, network.source) and network.name.rpartition(":")[2] == bare
        ),
        None,
    )


def count_parameters(source: str, name: str) -> int | None:
    """Parameters of a network with `CLASSES[source]` classes, built without memory for them; None where that fails."""
    import torch

    try:
        with torch.device("meta"):
            network = build(Architecture(name, source), CLASSES[source])
    except Exception:  # a few networks compute with numbers that they have not then, or want another package
        if source == "torchvision" and (published := _torchvision_weights(name)) is not None:
            return int(published.meta["num_params"])
        return None
    return sum(parameter.numel() for parameter in network.parameters())


def published_weights(source: str, name: str) -> str | None:
    """Where the library fetches a network's weights from; see `NetworkFacts.weights`."""
    if source == "cifar":
        return None
    if source == "torchvision":
        published = _torchvision_weights(name)
        return None if published is None else str(published.url)
    import timm

    if not timm.models.is_model_pretrained(name):
        return None
    config = timm.models.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        return None
    return f"hub:{config.hf_hub_id}" if config.hf_hub_id else str(config.url)


def _torchvision_weights(name: str) -> Any:
    from torchvision.models import get_model_weights

    try:
        weights = get_model_weights(name)
    except ValueError:  # no such network
        return None
    return weights.DEFAULT if list(weights) else None  # type: ignore[attr-defined]


def installed_facts() -> Iterator[tuple[str, str, int | None, str | None]]:
    """Source, name, parameters and weights of each network of the installed libraries; takes minutes."""
    for source in SOURCES:
        for name in CIFAR_NAMES if source == "cifar" else installed_names(source):
            yield source, name, count_parameters(source, name), published_weights(source, name)


def write_facts() -> None:
    """Write the list from what is installed."""
    facts: dict[str, dict[str, list[int | str | None]]] = {source: {} for source in SOURCES}
    for source, name, parameters, weights in installed_facts():
        facts[source][name] = [parameters, weights]
    write_json(LIST, facts)
