import pytest
import torch
from torch import nn

from pipeline.training import batch_norm
from pipeline.training.batch_norm import SynchronisedTask, synchronised_batch_norm


class Doubled(nn.BatchNorm2d):
    """A batch norm of another library, with something of its own after it."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(values)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5), (6, 4, 3, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_it_is_batch_norm_where_there_is_one_process(shape: tuple[int, ...], affine: bool):
    torch.manual_seed(0)
    values, upstream = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    weight, bias = (torch.randn(4, dtype=torch.float64) if affine else None for _ in range(2))
    found = []
    for function in (synchronised_batch_norm, None):
        x = values.clone().requires_grad_()
        mean, var = torch.full((4,), 0.3, dtype=torch.float64), torch.full((4,), 2.0, dtype=torch.float64)
        if function is None:
            y = nn.functional.batch_norm(x, mean, var, weight, bias, True, 0.2, 1e-3)
        else:
            y = function(x, mean, var, weight, bias, 0.2, 1e-3)
        (y * upstream).sum().backward()
        assert x.grad is not None
        found.append((y.detach(), x.grad, mean, var))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_half_precision_stays_what_it_is():
    values = torch.randn(4, 3, 2, 2).to(torch.bfloat16)
    assert synchronised_batch_norm(values, None, None, None, None, 0.1, 1e-5).dtype == torch.bfloat16


def test_every_batch_norm_of_a_task_is_synchronised_in_training_alone(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def spy(values: torch.Tensor, *_rest: object) -> torch.Tensor:
        seen.append(values.shape)
        return values

    monkeypatch.setattr(batch_norm, "process_count", lambda: 2)
    monkeypatch.setattr(batch_norm, "synchronised_batch_norm", spy)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), Doubled(2), nn.Flatten(), nn.BatchNorm1d(8))
    task = SynchronisedTask(network)
    task.train()
    task(torch.randn(4, 3, 2, 2))
    assert seen == [(4, 3, 2, 2), (4, 2, 2, 2), (4, 8)]
    network.eval()
    task(torch.randn(4, 3, 2, 2))
    network.train()
    network(torch.randn(4, 3, 2, 2))  # by itself
    assert len(seen) == 3


def test_one_process_has_plain_batch_norms_to_the_bit():
    torch.manual_seed(0)
    network, values = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), torch.randn(4, 3, 8, 8)
    assert torch.equal(SynchronisedTask(network)(values), network(values))
