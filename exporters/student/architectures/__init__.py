"""Build a network by name: torchvision, timm, or the 32-pixel networks of the distillation papers.

Nothing here imports torch before a name has to be looked up or a network built.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporters.core.errors import UnavailableError, UsageError
from exporters.student.architectures.names import installed_names, list_is_complete, nearest_names, shipped_names

if TYPE_CHECKING:
    from torch import nn

SOURCES = ("torchvision", "timm", "cifar")
"""Where a bare name is looked up, in this order."""

CIFAR_NAMES = (
    *(f"resnet{depth}" for depth in (8, 14, 20, 32, 44, 56, 110)),
    *("resnet8x4", "resnet32x4", "wrn-16-2", "wrn-40-1", "wrn-40-2", "vgg8", "vgg13"),
    *("mobilenet_v2", "shufflenet_v1", "shufflenet_v2"),
)
"""Of these, `mobilenet_v2` and `vgg13` need the prefix `cifar:`, since torchvision has nets of the same names."""

_NAME = re.compile(r"(?:(?P<source>[a-z]+):)?(?P<name>[A-Za-z0-9][A-Za-z0-9_.\-]*)")
_WITHOUT_BATCH_NORM = re.compile(r"alexnet|convnext_\w+|squeezenet\w+|swin_\w+|vgg\d+|vit_\w+")  # of torchvision
# These return a named tuple while training unless their auxiliary heads are off; a student is one classifier.
_PLAIN_LOGITS = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


@dataclass(frozen=True)
class Architecture:
    """What `build` needs.

    Args:
        name: the name within its source, such as `mobilenet_v2`.
        source: `torchvision`, `timm` or `cifar`.
        arguments: further keyword arguments of the builder, plain JSON values.
    """

    name: str
    source: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"name": self.name, "source": self.source, "arguments": dict(self.arguments)}

    @classmethod
    def from_json(cls, value: Any) -> "Architecture":
        """Read what `to_json` wrote; a malformed value raises UsageError."""
        if (
            not isinstance(value, dict)
            or set(value) != {"name", "source", "arguments"}
            or not isinstance(value["name"], str)
            or value["source"] not in SOURCES
            or not isinstance(value["arguments"], dict)
        ):
            raise UsageError(f"architecture: need name, source ({', '.join(SOURCES)}) and arguments, not {value!r}")
        return cls(value["name"], value["source"], dict(value["arguments"]))


def parse(name: str) -> tuple[str | None, str]:
    """Split `source:name`; the source is None for a bare name. Looks nothing up and imports nothing.

    Raises:
        UsageError: not a name at all, or an unknown prefix.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(
            f"{name!r} is not a model name", remedy="Write e.g. mobilenet_v2, timm:convnext_atto, cifar:resnet20."
        )
    source = match["source"]
    if source is not None and source not in SOURCES:
        raise UsageError(f"{name!r}: unknown source {source!r}", remedy=f"Known sources: {', '.join(SOURCES)}.")
    return source, match["name"]


def resolve(name: str) -> tuple[str, str]:
    """Find a model by name.

    Args:
        name: `timm:x`, `torchvision:x`, `cifar:x`, or a bare name, which is looked up in that of `SOURCES` that knows
            it first.

    Returns:
        (source, name within the source).

    Raises:
        UsageError: no source knows the name; the message has the nearest names.
        UnavailableError: torchvision or timm, which would have to be asked, is not installed.
    """
    source, bare = parse(name)
    sources = SOURCES if source is None else (source,)
    for candidate in sources:
        if bare in _names(candidate):
            return candidate, bare
    raise _unknown(name, bare, {candidate: _names(candidate) for candidate in sources})


def check_name(name: str) -> None:
    """Refuse a name that no source has, as far as this is known without the libraries: by the list that ships.

    Raises:
        UsageError: as `resolve`. Not where an installed library is newer than the list, and so may have the name.
    """
    source, bare = parse(name)
    sources = SOURCES if source is None else (source,)
    known = {candidate: _shipped_names(candidate) for candidate in sources}
    complete = all(candidate == "cifar" or list_is_complete(candidate) for candidate in sources)
    if complete and not any(bare in names for names in known.values()):
        raise _unknown(name, bare, known)


def has_batch_norm(name: str) -> bool | None:
    """Whether the network of a name has batch norms, built without arguments; None: only timm can tell."""
    source, bare = parse(name)
    found = next((at for at in ((source,) if source else SOURCES) if bare in _shipped_names(at)), "timm")
    if found == "timm":
        return None
    return found == "cifar" or _WITHOUT_BATCH_NORM.fullmatch(bare) is None


def _shipped_names(source: str) -> frozenset[str]:
    return frozenset(CIFAR_NAMES) if source == "cifar" else shipped_names(source)


def _unknown(name: str, bare: str, known: Mapping[str, Collection[str]]) -> "UnknownNameError":
    """The error for a name that none of the sources has; those that it may mean are written as `resolve` takes them."""
    first: dict[str, str] = {}
    for source, names in known.items():
        for other in names:
            first.setdefault(other, source)
    bare_sources = {other: source for source in reversed(SOURCES) for other in _shipped_names(source)}
    nearest = [
        other if bare_sources.get(other) == first[other] else f"{first[other]}:{other}"
        for other in nearest_names(bare, first)
    ]
    return UnknownNameError(name, tuple(known), tuple(nearest))


class UnknownNameError(UsageError):
    """A name that no source has.

    Attributes:
        nearest: names that it may mean, the nearest first.
    """

    def __init__(self, name: str, sources: tuple[str, ...], nearest: tuple[str, ...]) -> None:
        super().__init__(
            f"no model named {name!r} in {', '.join(sources)}",
            remedy=f"Nearest: {', '.join(nearest)}."
            if nearest
            else "`tmkd-pipeline models search TEXT` finds networks by a part of their names.",
        )
        self.nearest = nearest


def _names(source: str) -> frozenset[str]:
    if source == "cifar":
        return frozenset(CIFAR_NAMES)
    try:
        return frozenset(installed_names(source))
    except ImportError as error:
        raise UnavailableError(
            f"{source} is not installed or cannot be imported ({error})", remedy="pip install 'tmkd-pipeline[cpu]'"
        ) from error


def build(architecture: Architecture, classes: int) -> "nn.Module":
    """Build the network with random weights; `forward` takes float `[B, 3, H, W]` and gives logits `[B, classes]`.

    Raises:
        UsageError: the source does not know the name, or does not take the arguments.
    """
    source, name = resolve(f"{architecture.source}:{architecture.name}")
    arguments = dict(architecture.arguments)
    try:
        if source == "cifar":
            from exporters.student.architectures.cifar import build_cifar

            return build_cifar(name, classes, **arguments)
        if source == "torchvision":
            from torchvision import models

            merged = {**_PLAIN_LOGITS.get(name, {}), **arguments}
            return models.get_model(name, weights=None, num_classes=classes, **merged)
        import timm

        return timm.create_model(name, pretrained=False, num_classes=classes, **arguments)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # each network checks its arguments in its own way, or fails over them later
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = f" with {arguments}" if arguments else ""
        raise UsageError(
            f"{source}:{name} cannot be built{what} ({reason})",
            remedy="Check its arguments." if arguments else "Take another network.",
        ) from error
