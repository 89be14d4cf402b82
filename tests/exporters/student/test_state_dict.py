import pytest
import torch
from torch import nn

from exporters.core.errors import UnavailableError
from exporters.student.architectures import Architecture, build
from exporters.student.state_dict import fit_state, load_exactly, without_auxiliary_heads


def network(classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: torch.ones_like(value) for key, value in module.state_dict().items()}


def values(module: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_counters_may_be_missing_from_a_checkpoint_but_not_from_a_saved_student() -> None:
    module = network()
    given = state(module)
    del given["1.num_batches_tracked"]
    assert not fit_state(module, given, "net.pt", replace_head=False, remedy="")
    assert torch.equal(module[3].weight, torch.ones(3, 4))  # type: ignore[index,arg-type]
    with pytest.raises(UnavailableError, match=r"student: does not fit the network: missing 1\.num_batches_tracked$"):
        load_exactly(module, given, "student")


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_mismatched_keys_are_named_and_nothing_changes(change: str) -> None:
    module = network()
    given, before = state(module), values(module)
    if change == "missing":
        del given["0.bias"]
    elif change == "unexpected":
        given["head.weight"] = torch.ones(1)
    else:
        given["0.weight"] = torch.ones(4, 1, 1, 1)
    mismatch = {
        "missing": r"missing 0\.bias",
        "unexpected": r"unexpected head\.weight",
        "shape": r"0\.weight has shape \[4, 1, 1, 1\], not \[4, 3, 1, 1\]",
    }[change]
    for load in (
        lambda: fit_state(module, given, "net", replace_head=True, remedy="Look."),
        lambda: load_exactly(module, given, "net"),
    ):
        with pytest.raises(UnavailableError, match=f"^net: does not fit the network: {mismatch}"):
            load()
        assert same(before, values(module))


def test_five_keys_are_named_and_the_others_counted() -> None:
    with pytest.raises(UnavailableError, match=r"(missing [\w.]+; ){4}missing [\w.]+; and 4 more$"):
        load_exactly(network(), {}, "net")


def test_head_of_other_classes_stays_at_its_initialization_where_it_may() -> None:
    module, given = network(), state(network(5))
    head = module[3].weight.detach().clone()  # type: ignore[index,operator,union-attr]
    assert fit_state(module, given, "net", replace_head=True, remedy="")
    assert torch.equal(module[3].weight, head) and torch.equal(module[0].weight, torch.ones(4, 3, 1, 1))  # type: ignore[index,arg-type]
    with pytest.raises(UnavailableError, match=r"3\.weight has shape \[5, 4\], not \[3, 4\]; 3\.bias"):
        fit_state(module, given, "net", replace_head=False, remedy="")


def test_values_that_are_not_finite_are_refused() -> None:
    given = state(network())
    given["1.running_var"][0] = float("nan")
    with pytest.raises(UnavailableError, match=r"NaN or infinite: 1\.running_var"):
        fit_state(network(), given, "net", replace_head=False, remedy="")


def test_networks_that_version_their_state_are_loaded_from_a_checkpoint() -> None:
    mnasnet = Architecture("mnasnet0_5", "torchvision")
    first, second = build(mnasnet, 3), build(mnasnet, 3)
    assert not fit_state(second, dict(first.state_dict()), "net", replace_head=False, remedy="")
    assert same(values(first), values(second))


def test_auxiliary_heads_are_taken_off_where_the_network_has_none() -> None:
    given = {"aux1.conv.weight": torch.ones(1), "fc.weight": torch.ones(1)}
    googlenet = Architecture("googlenet", "torchvision")
    assert list(without_auxiliary_heads(given, nn.Linear(1, 1), googlenet)) == ["fc.weight"]
    assert without_auxiliary_heads(given, nn.Linear(1, 1), Architecture("resnet18", "torchvision")) == given
