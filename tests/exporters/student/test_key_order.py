"""Foreign keys, mapped by the order of shapes or refused."""

from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from exporters.student.architectures import Architecture, build
from exporters.student.key_order import with_own_keys
from exporters.student.state_dict import fit_state

NETWORKS = {
    "cifar:resnet8": (Architecture("resnet8", "cifar"), 32),
    "timm:test_vit": (Architecture("test_vit", "timm"), 160),
    "timm:test_efficientnet": (Architecture("test_efficientnet", "timm"), 64),
}
State = dict[str, Tensor]


def make(name: str = "cifar:resnet8", seed: int = 1, classes: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    network = build(NETWORKS[name][0], classes).eval()
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 0.1 if key.endswith("running_var") else torch.randn(value.shape) / 9)
    return network


def foreign(state: State) -> State:
    """The same under names as another author might choose, without the counters of batch norms."""
    modules: dict[str, str] = {}
    renamed: State = OrderedDict()
    for key, value in state.items():
        module, _, leaf = key.rpartition(".")
        if leaf != "num_batches_tracked":
            name = modules.setdefault(module, f"_part.{len(modules)}._layer")
            renamed[f"{name}.{leaf}"] = value
    return renamed


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_network_under_foreign_keys_answers_as_it_did(name: str) -> None:
    trained, fresh = make(name), make(name, seed=2)
    size = NETWORKS[name][1]
    images = torch.randn(2, 3, size, size)
    found = with_own_keys(fresh.state_dict(), foreign(trained.state_dict()), ordered=True)
    assert found.reason is None and set(found.mapped.values()) == set(found.state)
    assert "all" in found.note and "_part.0._layer" in found.note
    assert not fit_state(fresh, found.state, "net", replace_head=False, remedy="")
    with torch.no_grad():
        torch.testing.assert_close(fresh(images), trained(images), rtol=0, atol=0)


def test_keys_that_are_the_networks_own_are_left_alone() -> None:
    state = make().state_dict()
    found = with_own_keys(state, dict(state), ordered=False)
    assert (found.state, found.mapped, found.reason) == (dict(state), {}, None)


def test_a_prefix_that_all_keys_share_needs_no_mapping() -> None:
    state = make().state_dict()
    prefixed = {f"encoder.student.{key}": value for key, value in reversed(state.items())}
    found = with_own_keys(state, prefixed, ordered=False)
    assert found.mapped == {} and found.reason is None
    assert found.state.keys() == state.keys()


def test_a_head_for_other_classes_is_mapped_where_it_is_replaced() -> None:
    own, state = make().state_dict(), foreign(make(classes=9).state_dict())
    assert "whose shape is [5, 64], not [9, 64]" in str(with_own_keys(own, state, ordered=True).reason)
    found = with_own_keys(own, state, ordered=True, free_head=True)
    assert found.state["linear.weight"].shape == (9, 64)


def swapped(state: State, one: str, two: str) -> State:
    order = list(state)
    i, j = order.index(one), order.index(two)
    order[i], order[j] = order[j], order[i]
    return {key: state[key] for key in order}


def changed(how: str) -> State:
    state = foreign(make().state_dict())
    keys = list(state)
    match how:
        case "more tensors":
            return state | {"extra.weight": torch.zeros(3)}
        case "fewer tensors":
            return dict(list(state.items())[:-1])
        case "other shape":
            return state | {keys[0]: torch.zeros(16, 3, 5, 5)}
        case "layers in another order":
            return dict(reversed(state.items()))
        case "weight and bias in another order":
            bias = next(key for key in keys if key.endswith(".bias"))
            return swapped(state, bias, bias.replace(".bias", ".weight"))
        case "statistics in another order":
            mean = next(key for key in keys if key.endswith(".running_mean"))
            return swapped(state, mean, mean.replace(".running_mean", ".running_var"))
        case "unnamed statistics in another order":
            plain = {
                key.replace("running_mean", "first").replace("running_var", "second"): v for key, v in state.items()
            }
            first = next(key for key in plain if key.endswith(".first"))
            return swapped(plain, first, first.replace(".first", ".second"))
        case "sorted as text":
            return dict(sorted(state.items()))
        case "half of its names are the network's":
            own = make().state_dict()
            key = next(key for key in own if key.startswith("layer2") and key.endswith("weight"))
            return {(key if index == 0 else name): value for index, (name, value) in enumerate(state.items())}
    raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("more tensors", "holds 38 tensors, the network 37"),
        ("fewer tensors", "tensors, the network"),
        ("other shape", r"whose shape is \[16, 3, 3, 3\], not \[16, 3, 5, 5\]"),
        ("layers in another order", "stands where the network has"),
        ("weight and bias in another order", "bias stands where the network has bn1.weight"),
        ("statistics in another order", "running_var stands where the network has bn1.running_mean"),
        ("unnamed statistics in another order", "a variance, and has values below zero"),
        ("sorted as text", "stands where the network has"),
        ("half of its names are the network's", "both have keys of these names"),
    ],
)
def test_a_mapping_that_is_not_clear_is_refused(how: str, told: str) -> None:
    network = make(seed=3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = with_own_keys(network.state_dict(), changed(how), ordered=True)
    assert found.mapped == {}
    with pytest.raises(UnavailableError, match=told) as caught:
        fit_state(network, found.state, "net.pt", replace_head=False, remedy="Look.", reason=found.reason)
    assert "Nor can its keys be mapped by their order" in caught.value.message
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_equal_blocks_whose_numbers_are_sorted_as_text_are_refused() -> None:
    """Only the numbers show that 10 was sorted before 2."""
    blocks = nn.Sequential(*(nn.Linear(4, 4) for _ in range(12))).state_dict()
    own = {f"layers.{key}": value for key, value in blocks.items()}
    state = {f"blocks.{key}": value for key, value in blocks.items()}
    by_text = sorted(state, key=lambda key: (key.split(".")[1], key.endswith("bias")))
    assert with_own_keys(own, state, ordered=True).mapped
    found = with_own_keys(own, {key: state[key] for key in by_text}, ordered=True)
    assert (
        found.reason == "blocks.2.weight comes late: the keys are not in the order in which a network was put together"
    )


def test_files_without_an_order_are_refused() -> None:
    found = with_own_keys(make().state_dict(), foreign(make().state_dict()), ordered=False)
    assert "safetensors keeps no order" in str(found.reason)


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(9)))
def test_only_the_own_order_is_mapped(order: list[int]) -> None:
    """Layers of different shapes in any order: mapped as they belong, or not at all."""
    layers = [nn.Linear(3 + index, 4 + index) for index in range(9)]
    own = nn.Sequential(*layers).state_dict()
    state = {f"part_{place}.{leaf}": own[f"{place}.{leaf}"] for place in order for leaf in ("weight", "bias")}
    found = with_own_keys(own, state, ordered=True)
    assert (found.reason is None) == (order == sorted(order))
    if found.reason is None:
        assert all(found.state[key] is own[key] for key in own)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    state = dict(make().state_dict())
    state["conv1.weight"] = torch.full_like(state["conv1.weight"], value)
    with pytest.raises(UnavailableError, match=r"NaN or infinite: conv1\.weight"):
        fit_state(make(), state, "net.pt", replace_head=False, remedy="")
