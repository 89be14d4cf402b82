import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.training.optimizer import learning_rate, make_optimizer
from pipeline.training.settings import FitSettings, NetworkFitSettings

LR = 0.3


def rates(steps_per_epoch: int, **changes: object) -> list[float]:
    fit = FitSettings(lr=LR, **changes)
    return [learning_rate(fit, step, steps_per_epoch) for step in range(fit.epochs * steps_per_epoch)]


def of_pytorch(total: int, make: object) -> list[float]:
    """The learning rate of each step under one of PyTorch's schedulers."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(optimizer)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_constant_rate_never_changes():
    assert rates(5, epochs=3, schedule={"kind": "constant"}) == [LR] * 15


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 7), (6, 4), (20, 3)])
def test_cosine_is_pytorchs(epochs: int, steps: int):
    total = epochs * steps
    expected = of_pytorch(total, lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total))
    assert rates(steps, epochs=epochs, schedule={"kind": "cosine"}) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_milestones_are_pytorchs_counted_in_passes():
    expected = of_pytorch(8, lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5, 6], gamma=0.2))
    schedule = {"kind": "milestones", "milestones": (2, 5, 6), "gamma": 0.2}
    found = rates(3, epochs=8, schedule=schedule)
    assert found == pytest.approx([rate for rate in expected for _ in range(3)], rel=1e-12)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 2), (1, 3), (1, 10), (4, 5), (16, 94), (3, 333)])
def test_one_cycle_is_pytorchs(epochs: int, steps: int):
    total = epochs * steps
    expected = of_pytorch(
        total, lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total, three_phase=False)
    )[:total]
    found = rates(steps, epochs=epochs, schedule={"kind": "one_cycle"})
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_one_cycle_rises_to_the_rate_and_falls():
    found = rates(10, epochs=10, schedule={"kind": "one_cycle"})
    assert found[0] == pytest.approx(LR / 25)
    assert found[29] == max(found) == pytest.approx(LR)
    assert found[-1] == pytest.approx(LR / 25e4)
    assert found[:30] == sorted(found[:30])
    assert found[29:] == sorted(found[29:], reverse=True)


def test_one_cycle_of_a_single_step_is_within_the_rate():
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


def test_warm_up_rises_in_equal_steps():
    found = rates(4, epochs=5, schedule={"kind": "constant", "warmup": 2.0})
    assert found[:9] == pytest.approx([LR * part / 8 for part in (1, 2, 3, 4, 5, 6, 7, 8, 8)])


class Two(nn.Module):
    """A matrix that is trained, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.trained = nn.Parameter(torch.ones(2, 2))
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)


def test_sgd_has_the_numbers_of_the_recipe():
    fit = FitSettings(lr=0.2, momentum=0.8, nesterov=True, weight_decay=0.01)
    two = Two()
    optimizer = make_optimizer(two, fit)
    velocity = torch.zeros(2, 2)
    expected = two.trained.detach().clone()
    for number in range(3):
        two.trained.grad = torch.tensor([[1.0, -2.0], [0.5, 3.0]]) * (number + 1)
        gradient = two.trained.grad + 0.01 * expected
        velocity = 0.8 * velocity + gradient
        expected = expected - 0.2 * (gradient + 0.8 * velocity)
        optimizer.step()
        torch.testing.assert_close(two.trained.detach(), expected)
    assert torch.equal(two.frozen, torch.ones(2, 2))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_clipped_gradients_are_unscaled_before_the_step(optimizer: str):
    # What Lightning Fabric asks before it clips in fp16.
    for clip in (None, 1.0):
        fit = FitSettings(optimizer=optimizer, gradient_clip=clip)
        handles = getattr(make_optimizer(Two(), fit), "_step_supports_amp_scaling", False)
        assert handles == (clip is None)


def test_adamw_decays_apart_from_the_gradient():
    fit = FitSettings(optimizer="adamw", lr=0.1, weight_decay=0.5)
    two = Two()
    optimizer = make_optimizer(two, fit)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["params"] for group in optimizer.param_groups] == [[two.trained]]
    two.trained.grad = torch.tensor([[1.0, -3.0], [2.0, -4.0]])
    optimizer.step()
    # The first step of Adam is the sign of the gradient, times the learning rate.
    rise, fall = 1 - 0.05 + 0.1, 1 - 0.05 - 0.1
    torch.testing.assert_close(two.trained.detach(), torch.tensor([[fall, rise], [fall, rise]]))


def exempt_names(module: nn.Module, optimizer: torch.optim.Optimizer) -> set[str]:
    """The names of the trained parameters whose weight decay is 0."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found = {names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert found.keys() == {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    return {name for name, decay in found.items() if decay == 0}


ADAMW = FitSettings(optimizer="adamw", weight_decay=0.1)


@pytest.mark.parametrize(
    "name",
    [
        "resnet10t",  # batch norm
        "vit_tiny_patch16_224",  # layer norm, class token, position embedding
        "test_convnext",  # layer norm, layer scale
        "resnetv2_50d_gn",  # group norm
        "swin_tiny_patch4_window7_224",  # tables of relative positions
        "xcit_nano_12_p8_224",  # layer scale, temperatures of attention
    ],
)
def test_adamw_spares_what_timm_spares(name: str):
    timm = pytest.importorskip("timm")
    from timm.optim import param_groups_weight_decay

    network = timm.create_model(name, num_classes=3)
    listed = network.no_weight_decay() if hasattr(network, "no_weight_decay") else ()
    groups = param_groups_weight_decay(network, 0.1, no_weight_decay_list=listed)
    spared = {id(parameter) for group in groups if group["weight_decay"] == 0 for parameter in group["params"]}
    # timm goes by the number of dimensions alone; a scale may also be [1, 1, C] or [heads, 1, 1].
    expected = {
        name
        for name, parameter in network.named_parameters()
        if id(parameter) in spared or max(parameter.shape, default=1) == parameter.numel()
    }
    assert expected and exempt_names(network, make_optimizer(network, ADAMW)) == expected


def test_adamw_spares_what_open_clip_spares():
    open_clip = pytest.importorskip("open_clip")
    towers = {
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1},
        "text_cfg": {"context_length": 24, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1},
    }
    clip = open_clip.CLIP(16, **towers)
    spared = exempt_names(clip, make_optimizer(clip, ADAMW))
    # The rule of open_clip's training script, and its own list of what else is spared.
    rule = {
        name
        for name, parameter in clip.named_parameters()
        if parameter.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
    }
    assert spared == rule | clip.no_weight_decay()
    assert {"logit_scale", "ln_final.weight", "visual.class_embedding"} <= spared
    assert "token_embedding.weight" not in spared


def test_scales_and_norms_of_many_dimensions_are_spared():
    torchvision = pytest.importorskip("torchvision")
    network = torchvision.models.convnext_tiny()
    spared = exempt_names(network, make_optimizer(network, ADAMW))
    assert {name for name, _ in network.named_parameters() if "layer_scale" in name} <= spared
    assert all(parameter.numel() == max(parameter.shape) for name, parameter in network.named_parameters()
               if name in spared)  # fmt: skip
    plain = nn.Sequential(
        nn.Conv2d(4, 4, 1, groups=4), nn.LayerNorm([4, 8, 8]), nn.Flatten(), nn.Linear(256, 1), nn.RMSNorm([1, 1])
    )
    # A depthwise 1 × 1 convolution and a regression have one side, and are weights all the same.
    assert exempt_names(plain, make_optimizer(plain, ADAMW)) == {"0.bias", "1.weight", "1.bias", "3.bias", "4.weight"}


@pytest.mark.parametrize(
    ("optimizer", "key", "decays"),
    [("sgd", None, True), ("sgd", False, False), ("adamw", None, False), ("adamw", True, True)],
)
def test_the_key_decides_and_the_default_follows_the_optimizer(optimizer: str, key: bool | None, decays: bool):
    fit = FitSettings(optimizer=optimizer, decay_norms_and_biases=key, weight_decay=0.25, lr=0.1, momentum=0.0)
    network = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    optimizer = make_optimizer(network, fit)
    assert exempt_names(network, optimizer) == (set() if decays else {"0.bias", "1.weight", "1.bias"})
    assert fit.decays_norms_and_biases == decays
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    # Without a gradient only the decay moves a parameter: by the rate times the decay.
    torch.testing.assert_close(network[1].weight.detach(), torch.full((2,), 1 - 0.1 * 0.25 if decays else 1.0))


def test_a_frozen_network_but_for_its_norms_is_trained_without_decay():
    network = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    network[0].requires_grad_(False)
    (group,) = make_optimizer(network, ADAMW).param_groups
    assert group["weight_decay"] == 0 and len(group["params"]) == 2


class Deep(nn.Module):
    """Three layers of a body, a head, and a projection of the method."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)])
        self.head = nn.Linear(1, 1)
        self.projection = nn.Linear(1, 1, bias=False)

    def layers(self) -> list[list[nn.Parameter]]:
        return [list(layer.parameters()) for layer in self.body]


def scales_and_decays(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, tuple[float, float]]:
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {
        names[each]: (group.get("lr_scale", 1.0), group["weight_decay"])
        for group in optimizer.param_groups
        for each in group["params"]
    }


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_rates_fall_from_the_head_to_the_first_layer(optimizer: str):
    deep = Deep()
    fit = NetworkFitSettings(optimizer=optimizer, weight_decay=0.3, head_lr=10.0, layer_decay=0.5)
    of_biases = 0.0 if optimizer == "adamw" else 0.3
    assert scales_and_decays(make_optimizer(deep, fit), deep) == {
        "body.0.weight": (0.25, 0.3),
        "body.0.bias": (0.25, of_biases),
        "body.1.weight": (0.5, 0.3),
        "body.1.bias": (0.5, of_biases),
        "body.2.weight": (1.0, 0.3),
        "body.2.bias": (1.0, of_biases),
        "head.weight": (10.0, 0.3),
        "head.bias": (10.0, of_biases),
        "projection.weight": (10.0, 0.3),
    }


def test_factors_of_1_leave_the_groups_as_they_are():
    deep, neutral = Deep(), {"head_lr": 1.0, "layer_decay": 1.0}
    for optimizer, groups in (("sgd", 1), ("adamw", 2)):
        made = make_optimizer(deep, NetworkFitSettings(optimizer=optimizer, **neutral))
        plain = make_optimizer(deep, FitSettings(optimizer=optimizer))
        assert made.state_dict() == plain.state_dict()
        assert len(made.param_groups) == groups


@pytest.mark.parametrize("kind", ["cosine", "one_cycle", "constant"])
def test_schedule_begins_after_the_epochs_of_the_head(kind: str):
    def rates_of(epochs: int, head: int) -> list[float]:
        fit = NetworkFitSettings(lr=LR, epochs=epochs, head_epochs=head, schedule={"kind": kind})
        return [learning_rate(fit, step, 5) for step in range(epochs * 5)]

    assert rates_of(7, 2) == [LR] * 10 + rates_of(5, 0)


def test_milestones_count_from_the_first_epoch_and_warm_up_comes_twice():
    fit = NetworkFitSettings(
        lr=LR, epochs=5, head_epochs=1, schedule={"kind": "milestones", "milestones": (3,), "warmup": 0.5}
    )
    found = [learning_rate(fit, step, 4) for step in range(20)]
    warm = [LR / 2, LR, LR, LR]
    assert found == pytest.approx(warm + warm + [LR] * 4 + [LR / 10] * 8)
