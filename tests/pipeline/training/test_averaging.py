"""Averaged weights, against the sum that defines them."""

import pytest
import torch
from torch import nn

from pipeline.training.averaging import WeightAverage


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def change(module: nn.Module, seed: int) -> None:
    """What a step does: new weights, and new running statistics."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random))
    module.train()(torch.randn(5, 3, 8, 8, generator=random))


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def averages_of(module: nn.Module, average: WeightAverage) -> dict[str, torch.Tensor]:
    with average.applied():
        return state(module)


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_average_is_the_weighted_sum_of_all_weights(decay: float):
    module = network()
    average = WeightAverage(module, decay)
    expected = {name: tensor.double() for name, tensor in state(module).items()}
    for step in range(1, 31):
        change(module, step)
        average.update()
        kept = min(decay, (1 + step) / (10 + step))
        for name, tensor in state(module).items():
            expected[name] = kept * expected[name] + (1 - kept) * tensor.double()
    expected["1.num_batches_tracked"] = torch.tensor(30.0).double()
    found = averages_of(module, average)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_the_weights_are_back_to_the_bit():
    module = network()
    average = WeightAverage(module, 0.9)
    change(module, 1)
    average.update()
    before = state(module)
    with pytest.raises(RuntimeError), average.applied():
        assert not torch.equal(module[0].weight, before["0.weight"])
        assert not torch.equal(module[1].running_mean, before["1.running_mean"])
        raise RuntimeError
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(module).items())


def test_weights_that_do_not_change_are_their_average_to_the_bit():
    module = network()
    average = WeightAverage(module, 0.99)
    for _ in range(20):
        average.update()
    assert all(torch.equal(tensor, module.state_dict()[name]) for name, tensor in averages_of(module, average).items())


def test_a_restored_average_goes_on_to_the_bit():
    one, two = network(), network()
    whole = WeightAverage(one, 0.9)
    for step in range(4):
        change(one, step)
        whole.update()
    saved = {"averages": {k: v.clone() for k, v in whole.state_dict()["averages"].items()}, "steps": 4}
    two.load_state_dict(state(one))
    resumed = WeightAverage(two, 0.9)
    resumed.load_state_dict(saved)
    for module, average in ((one, whole), (two, resumed)):
        for step in range(4, 8):
            change(module, step)
            average.update()
    left, right = averages_of(one, whole), averages_of(two, resumed)
    assert all(torch.equal(left[name], right[name]) for name in left)
