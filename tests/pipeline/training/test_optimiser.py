import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.recipe.schema import FitSettings
from pipeline.training.optimiser import learning_rate, make_optimiser

LR = 0.3


def rates(steps_per_pass: int, **changes: object) -> list[float]:
    fit = FitSettings(lr=LR, **changes)
    return [learning_rate(fit, step, steps_per_pass) for step in range(fit.epochs * steps_per_pass)]


def of_pytorch(total: int, make: object) -> list[float]:
    """The learning rate of each step under one of PyTorch's schedulers."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(optimiser)
    found = []
    for _ in range(total):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def test_constant():
    assert rates(5, epochs=3, schedule={"kind": "constant"}) == [LR] * 15


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 7), (6, 4), (20, 3)])
def test_cosine_is_pytorchs(epochs: int, steps: int):
    total = epochs * steps
    expected = of_pytorch(total, lambda optimiser: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total))
    assert rates(steps, epochs=epochs, schedule={"kind": "cosine"}) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_milestones_are_pytorchs_counted_in_passes():
    expected = of_pytorch(8, lambda optimiser: torch.optim.lr_scheduler.MultiStepLR(optimiser, [2, 5, 6], gamma=0.2))
    schedule = {"kind": "milestones", "milestones": (2, 5, 6), "gamma": 0.2}
    found = rates(3, epochs=8, schedule=schedule)
    assert found == pytest.approx([rate for rate in expected for _ in range(3)], rel=1e-12)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 2), (1, 3), (1, 10), (4, 5), (16, 94), (3, 333)])
def test_one_cycle_is_pytorchs(epochs: int, steps: int):
    total = epochs * steps
    expected = of_pytorch(
        total, lambda optimiser: torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total, three_phase=False)
    )[:total]
    found = rates(steps, epochs=epochs, schedule={"kind": "one_cycle"})
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_one_cycle_in_numbers():
    found = rates(10, epochs=10, schedule={"kind": "one_cycle"})
    assert found[0] == pytest.approx(LR / 25)
    assert found[29] == max(found) == pytest.approx(LR)
    assert found[-1] == pytest.approx(LR / 25e4)
    assert found[:30] == sorted(found[:30])
    assert found[29:] == sorted(found[29:], reverse=True)


def test_one_step_in_all():
    assert 0 < rates(1, epochs=1, schedule={"kind": "one_cycle"})[0] <= LR


@settings(deadline=None, max_examples=100)
@given(
    epochs=st.integers(2, 12),
    steps=st.integers(1, 9),
    share=st.floats(0, 0.99),
    kind=st.sampled_from(["constant", "cosine", "milestones"]),
)
def test_warm_up_rises_linearly_to_the_schedule(epochs: int, steps: int, share: float, kind: str):
    warmup = share * epochs
    schedule = {"kind": kind} | ({"milestones": (1,)} if kind == "milestones" else {})
    plain = rates(steps, epochs=epochs, schedule=schedule)
    found = rates(steps, epochs=epochs, schedule=schedule | {"warmup": warmup})
    for step, (with_warmup, without) in enumerate(zip(found, plain, strict=True)):
        share_of_it = 1.0 if warmup == 0 else min(1.0, (step + 1) / (warmup * steps))
        assert with_warmup == pytest.approx(without * share_of_it, rel=1e-9)
        assert with_warmup <= without
        assert math.isfinite(with_warmup)


def test_warm_up_in_numbers():
    found = rates(4, epochs=5, schedule={"kind": "constant", "warmup": 2.0})
    assert found[:9] == pytest.approx([LR * part / 8 for part in (1, 2, 3, 4, 5, 6, 7, 8, 8)])


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)]


def test_sgd_has_the_numbers_of_the_recipe():
    fit = FitSettings(lr=0.2, momentum=0.8, nesterov=True, weight_decay=0.01)
    trained, frozen = parameters()
    optimiser = make_optimiser([trained, frozen], fit)
    velocity = torch.zeros(2)
    expected = trained.detach().clone()
    for number in range(3):
        trained.grad = torch.tensor([1.0, -2.0]) * (number + 1)
        gradient = trained.grad + 0.01 * expected
        velocity = 0.8 * velocity + gradient
        expected = expected - 0.2 * (gradient + 0.8 * velocity)
        optimiser.step()
        torch.testing.assert_close(trained.detach(), expected)
    assert torch.equal(frozen, torch.ones(2))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_clipped_gradients_are_unscaled_before_the_step(optimizer: str):
    # What Lightning Fabric asks before it clips in fp16.
    for clip in (None, 1.0):
        fit = FitSettings(optimizer=optimizer, gradient_clip=clip)
        handles = getattr(make_optimiser(parameters(), fit), "_step_supports_amp_scaling", False)
        assert handles == (clip is None)


def test_adamw_decays_apart_from_the_gradient():
    fit = FitSettings(optimizer="adamw", lr=0.1, weight_decay=0.5)
    trained, frozen = parameters()
    optimiser = make_optimiser(iter([trained, frozen]), fit)
    assert isinstance(optimiser, torch.optim.AdamW)
    assert optimiser.param_groups[0]["params"] == [trained]
    trained.grad = torch.tensor([1.0, -3.0])
    optimiser.step()
    # The first step of Adam is the sign of the gradient, times the learning rate.
    torch.testing.assert_close(trained.detach(), torch.tensor([1 - 0.05 - 0.1, 1 - 0.05 + 0.1]))
