"""Weights of the same network by another author: foreign keys mapped to the network's own by the order of shapes.

Names say little across authors, but a state dict keeps the order in which a network was put together. Where all shapes
agree in this order, and nothing in the names speaks against it, each key stands for the one at its place. Neighbours
of equal shape are told apart by the order alone, so that only accuracy on labelled images proves such a mapping.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_COUNTER = "num_batches_tracked"
_ROLES = {
    "weight": "weight", "gamma": "weight", "bias": "bias", "beta": "bias",
    "running_mean": "mean", "moving_mean": "mean",
    "running_var": "variance", "moving_var": "variance", "moving_variance": "variance",
}  # fmt: skip
_NUMBER = re.compile(r"(?:^|(?<=\.))\d+(?=\.)")


@dataclass(frozen=True)
class OwnKeys:
    """A state under a network's own keys, as far as they could be found.

    Attributes:
        state: the tensors; as they were where nothing was mapped.
        mapped: foreign key → own key, of those that were mapped by their place; empty where none had to be.
        reason: why keys that are not the network's could not be mapped; None where there was nothing to map.
    """

    state: "dict[str, Tensor]"
    mapped: dict[str, str] = field(default_factory=dict)
    reason: str | None = None

    @property
    def note(self) -> str:
        """A line on what was mapped, with three examples."""
        pairs = [f"{foreign} is {own}" for foreign, own in self.mapped.items() if foreign != own]
        return (
            f"its keys are not the network's, and all {len(self.mapped)} shapes agree in their order:"
            f" {', '.join(pairs[:3])}{' and so on' if len(pairs) > 3 else ''}"
        )


def with_own_keys(
    own: "Mapping[str, Tensor]", state: "dict[str, Tensor]", *, ordered: bool, free_head: bool = False
) -> OwnKeys:
    """Give a state the keys of a network.

    Args:
        own: the network's `state_dict()`.
        state: of a file, in its order.
        ordered: whether this order is that in which the state was saved.
        free_head: let the classifier be for another number of classes.

    Returns:
        The state under own keys; unchanged, with the reason, where it is not clear which key is which.
    """
    wanted = [key for key in own if not key.endswith(_COUNTER)]
    found = [key for key in state if not key.endswith(_COUNTER)]
    missing, unexpected = set(wanted) - set(found), set(found) - set(wanted)
    if not missing or not unexpected:
        return OwnKeys(state)
    stripped = _without_common_prefix(state, set(wanted))
    if stripped is not None:
        return OwnKeys(stripped)
    reason = _against(own, wanted, state, found, ordered=ordered, free_head=free_head)
    if reason is not None:
        return OwnKeys(state, reason=reason)
    mapped = dict(zip(found, wanted, strict=True))
    return OwnKeys({mapped[key]: state[key] for key in found}, mapped)


def _without_common_prefix(state: "dict[str, Tensor]", wanted: set[str]) -> "dict[str, Tensor] | None":
    """The state without a prefix that all keys share, where this alone makes them the network's."""
    while len({key.partition(".")[0] for key in state}) == 1 and all("." in key for key in state):
        state = {key.partition(".")[2]: value for key, value in state.items()}
        if {key for key in state if not key.endswith(_COUNTER)} == wanted:
            return state
    return None


def _against(
    own: "Mapping[str, Tensor]",
    wanted: list[str],
    state: "Mapping[str, Tensor]",
    found: list[str],
    *,
    ordered: bool,
    free_head: bool,
) -> str | None:
    """What speaks against taking the keys in their order; None for nothing."""
    if not ordered:
        return "safetensors keeps no order of keys, by which those of another author could be mapped"
    if len(wanted) != len(found):
        return f"it holds {len(found)} tensors, the network {len(wanted)}"
    numbers: dict[str, int] = {}
    modules: dict[str, str] = {}
    owners: dict[str, str] = {}
    for foreign, mine in zip(found, wanted, strict=True):
        pair = f"{foreign} stands where the network has {mine}"
        if not _same_kind(state[foreign], own[mine], free_head=free_head):
            return f"{pair}, whose shape is {list(own[mine].shape)}, not {list(state[foreign].shape)}"
        if foreign != mine and (foreign in own or mine in state):
            return f"{pair}, yet both have keys of these names"
        module, _, leaf = foreign.rpartition(".")
        owner, _, own_leaf = mine.rpartition(".")
        roles = _ROLES.get(leaf), _ROLES.get(own_leaf)
        if None not in roles:
            if roles[0] != roles[1]:
                return pair
            if modules.setdefault(module, owner) != owner or owners.setdefault(owner, module) != module:
                return f"{pair}, which is another layer's"
        if roles[1] == "variance" and bool((state[foreign] < 0).any()):
            return f"{pair}, a variance, and has values below zero"
        for number in _NUMBER.finditer(foreign):
            before = foreign[: number.start()]
            if int(number.group()) < numbers.get(before, 0):
                return f"{foreign} comes late: the keys are not in the order in which a network was put together"
            numbers[before] = int(number.group())
    return None


def _same_kind(one: "Tensor", two: "Tensor", *, free_head: bool) -> bool:
    same = one.shape == two.shape
    if free_head:  # whether only a classifier differs is seen where the state is loaded
        same = one.ndim == two.ndim and one.shape[1:] == two.shape[1:]
    return same and one.is_floating_point() == two.is_floating_point()
