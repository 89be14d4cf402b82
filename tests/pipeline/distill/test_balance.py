"""Weights as shares of the cross-entropy's pull on the student's features."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from exporters.student.architectures import Architecture, build
from pipeline.distill.balance import (
    DENSE_STEPS,
    INTERVAL,
    LARGEST_SCALE,
    SMALLEST_SCALE,
    LossBalance,
    _of_whole_batch,
    gradient_norm,
)
from pipeline.distill.build import build_method
from pipeline.distill.losses import cross_entropy
from pipeline.distill.methods.base import Method
from pipeline.distill.registry import METHODS, base_methods
from pipeline.distill.settings import DistillSettings
from pipeline.distill.task import DistillationTask
from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork
from tests.pipeline.distill.networks import labels_of, network_output, shape_of

CLASSES = 4
METHODS_AND_BASES = [
    *((name, "kd") for name in METHODS if name not in ("ce", "tmkd")),
    *(("tmkd", base) for base in base_methods()),
]


def student_of(seed: int, dtype: torch.dtype = torch.float32) -> NetworkOutput:
    return network_output(seed, 6, CLASSES, 5, dtype=dtype, learns=True)


def balanced(student: NetworkOutput, teacher: NetworkOutput, **values: object) -> Method:
    torch.manual_seed(0)
    distill = DistillSettings.model_validate({"balance": "auto", **values})
    anchors = torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(5))
    return build_method(distill, shape_of(student), shape_of(teacher), anchors)


def features_gradient(loss: Tensor, student: NetworkOutput) -> Tensor:
    assert student.feature_map is not None
    (gradient,) = torch.autograd.grad(loss, student.feature_map, retain_graph=True)
    return gradient


@pytest.mark.parametrize(("method", "base"), [pair for pair in METHODS_AND_BASES if "fitnet" not in pair])
def test_each_loss_pulls_on_the_features_by_its_share_of_the_cross_entropy(method: str, base: str) -> None:
    student, teacher = student_of(0), network_output(1, 6, CLASSES, 7)
    labels = labels_of(0, 6, CLASSES)
    shares = {"logits": 0.25, "feature": 2.0, "contrast": 0.05}
    sections = {name: {"weight": share} for name, share in shares.items()}
    losses = balanced(student, teacher, method=method, base=base, ce={"weight": 0.5}, **sections)(
        student, teacher, labels, 1.0
    )
    unit = features_gradient(cross_entropy(student.logits, labels), student).norm()
    pulls = {name: (features_gradient(loss, student).norm() / unit).item() for name, loss in losses.items()}
    assert pulls == pytest.approx({"ce": 0.5} | {name: shares[name] for name in losses if name != "ce"}, rel=1e-4)


@given(
    seed=st.integers(0, 1000),
    factor=st.floats(-3, 3).map(lambda exponent: 10.0**exponent),
    name=st.sampled_from(["logits", "feature", "contrast"]),
)
@settings(deadline=None, max_examples=20)
def test_factor_in_front_of_a_loss_changes_nothing(seed: int, factor: float, name: str) -> None:
    student, balance, other = student_of(seed), LossBalance(), LossBalance()
    assert student.feature_map is not None
    loss = (student.feature_map - 1).pow(4).mean()
    for step in range(3):
        unit = cross_entropy(student.logits, labels_of(seed + step, 6, CLASSES))
        plain = balance(unit, {name: loss}, student)[name] * loss
        scaled = other(unit, {name: factor * loss}, student)[name] * (factor * loss)
        assert scaled.item() == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize(("method", "base"), [("kd", "kd"), ("cat_kd", "kd"), ("tmkd", "cat_kd")])
def test_cross_entropy_of_weight_zero_is_still_the_unit(method: str, base: str) -> None:
    student, teacher, labels = student_of(0), network_output(1, 6, CLASSES, 7), labels_of(0, 6, CLASSES)
    with_it, without = (
        balanced(student, teacher, method=method, base=base, ce={"weight": weight})(student, teacher, labels, 1.0)
        for weight in (1.0, 0.0)
    )
    assert "ce" in with_it and "ce" not in without
    assert {name: with_it[name].item() for name in without} == {name: loss.item() for name, loss in without.items()}


@pytest.mark.parametrize(("factor", "bound"), [(1e-9, LARGEST_SCALE), (1e9, SMALLEST_SCALE)])
def test_scales_are_bounded(factor: float, bound: float) -> None:
    student = student_of(0)
    unit = cross_entropy(student.logits, labels_of(0, 6, CLASSES))
    scale = LossBalance()(unit, {"logits": factor * student.logits.square().mean()}, student)["logits"]
    assert scale.item() == pytest.approx(bound, rel=1e-6)


def test_loss_without_gradient_keeps_its_scale() -> None:
    student = student_of(0)
    unit = cross_entropy(student.logits, labels_of(0, 6, CLASSES))
    terms = {"logits": 0 * student.logits.sum(), "contrast": torch.tensor(3.0)}
    assert {name: scale.item() for name, scale in LossBalance()(unit, terms, student).items()} == {
        "logits": 1,
        "contrast": 1,
    }


def test_scales_are_ratios_of_exponential_means_over_the_measured_steps() -> None:
    balance, measured = LossBalance(), []
    for step in range(DENSE_STEPS + 2 * INTERVAL):
        student = student_of(step)
        unit = cross_entropy(student.logits, labels_of(step, 6, CLASSES))
        loss = student.logits.pow(4).mean()
        scale = balance(unit, {"logits": loss}, student)["logits"].item()
        if step < DENSE_STEPS or step % INTERVAL == 0:
            measured.append([features_gradient(each, student).norm().item() for each in (unit, loss)])
        weights = [0.9**age for age in reversed(range(len(measured)))]
        means = [sum(w * pair[side] for w, pair in zip(weights, measured, strict=True)) for side in (0, 1)]
        assert scale == pytest.approx(means[0] / means[1], rel=1e-4)
    assert len(measured) == DENSE_STEPS + 2
    assert balance.metrics() == {"scale_logits": pytest.approx(scale)}


def test_restored_balance_continues_alike() -> None:
    def step(balance: LossBalance, number: int) -> float:
        student = student_of(number)
        unit = cross_entropy(student.logits, labels_of(number, 6, CLASSES))
        return balance(unit, {"feature": student.logits.pow(4).mean()}, student)["feature"].item()

    one, two = LossBalance(), LossBalance()
    for number in range(DENSE_STEPS + 3):
        step(one, number)
    two.load_state_dict(one.state_dict())
    for number in range(DENSE_STEPS + 3, DENSE_STEPS + 3 * INTERVAL):
        assert step(one, number) == step(two, number)
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("method", "base"), METHODS_AND_BASES)
def test_half_precision_gives_the_scales_of_full_precision(method: str, base: str, dtype: torch.dtype) -> None:
    def scales(kind: torch.dtype) -> dict[str, float]:
        student, teacher = student_of(0, kind), network_output(1, 6, CLASSES, 7, dtype=kind)
        model = balanced(student, teacher, method=method, base=base)
        with torch.autocast("cpu", dtype=dtype, enabled=kind == dtype):
            model(student, teacher, labels_of(0, 6, CLASSES), 1.0)
        assert model.balance is not None
        return model.balance.metrics()

    assert scales(dtype) == pytest.approx(scales(torch.float32), rel=0.05)


def test_gradients_below_the_range_of_fp16_are_measured() -> None:
    features = torch.ones(512, 8, 14, 14, dtype=torch.float16, requires_grad=True)
    loss = (features.mean(dim=(2, 3)) * 0.01).float().square().mean()
    direct = torch.autograd.grad(loss, features, retain_graph=True)[0]
    assert direct.norm() == 0  # what would be measured without care
    norm = gradient_norm(loss, features)
    assert norm is not None
    each = 2 * 1e-4 / (512 * 8) / 14**2  # ∂loss of every element
    assert norm.item() == pytest.approx(each * features.numel() ** 0.5, rel=0.01)


def test_gradients_of_many_channels_stay_within_the_range_of_fp16() -> None:
    features = torch.ones(4, 512, 8, 8, dtype=torch.float16, requires_grad=True)
    norm = gradient_norm(features.float().mean(dim=(0, 2, 3)).sum(), features)
    assert norm is not None
    assert norm.item() == pytest.approx((512 / (4 * 8 * 8)) ** 0.5, rel=1e-3)  # √(512·256)/256


def test_norm_in_full_precision_is_bit_for_bit_that_of_the_gradient() -> None:
    student = student_of(0)
    loss = student.logits.pow(4).mean()
    norm, direct = gradient_norm(loss, student.last_features), features_gradient(loss, student).norm()
    assert norm is not None and torch.equal(norm, direct)


def test_norms_are_those_of_the_whole_batch_over_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Parts share no image: the gradient of the whole mean is that of the parts side by side, over their number.
    parts = torch.tensor([[[3.0, 5.0], [0.5, 8.0]], [[4.0, 12.0], [1.5, 15.0]], [[12.0, 0.0], [2.0, 0.0]]])
    monkeypatch.setattr("pipeline.distill.balance.process_count", lambda: 3)
    monkeypatch.setattr("pipeline.distill.balance.summed", lambda own: own + parts[1].square() + parts[2].square())
    expected = [[13 / 3, 13 / 3], [6.5**0.5 / 3, 17 / 3]]
    torch.testing.assert_close(_of_whole_batch(parts[0]), torch.tensor(expected))
    monkeypatch.setattr("pipeline.distill.balance.process_count", lambda: 2)
    monkeypatch.setattr("pipeline.distill.balance.summed", lambda own: own + parts[1].square())
    torch.testing.assert_close(_of_whole_batch(parts[0])[0], torch.tensor([5 / 2, 13 / 2]))


def test_norms_of_a_process_alone_are_left_as_they_are() -> None:
    norms = torch.tensor([[1e30, 0.1], [3.0, 1e-30]])  # their squares are out of range
    assert torch.equal(_of_whole_batch(norms), norms)


def test_weakly_pulling_loss_is_told_among_the_metrics() -> None:
    student, balance = student_of(0), LossBalance()
    unit = cross_entropy(student.logits, labels_of(0, 6, CLASSES))
    scales = balance(unit, {"feature": 0.01 * student.logits.square().mean()}, student)
    assert balance.norms[1, 1] < 1
    assert balance.metrics() == {"scale_feature": scales["feature"].item()}


def test_step_that_is_not_finite_is_not_counted() -> None:
    student, balance = student_of(0), LossBalance()
    unit = cross_entropy(student.logits, labels_of(0, 6, CLASSES))
    good, bad = student.logits.square().mean(), student.logits.sum() * torch.inf
    assert balance(unit, {"logits": bad}, student)["logits"].item() == 1
    first = balance(unit, {"logits": good, "feature": good}, student)["logits"].item()
    assert first not in (1, LARGEST_SCALE)
    again = balance(unit, {"logits": bad, "feature": good}, student)
    assert again["logits"].item() == first and again["feature"].item() == pytest.approx(first, rel=1e-6)


def test_nothing_is_measured_in_eval_mode_or_without_gradient() -> None:
    student, balance = student_of(0), LossBalance()
    unit, loss = cross_entropy(student.logits, labels_of(0, 6, CLASSES)), student.logits.square().mean()
    with torch.no_grad():
        assert balance(unit, {"logits": loss}, student)["logits"].item() == 1
    assert balance.eval()(unit, {"logits": loss}, student)["logits"].item() == 1
    assert balance.metrics() == {} and balance.get_extra_state().item() == 0


def network(seed: int) -> TappedNetwork:
    torch.manual_seed(seed)
    return TappedNetwork(build(Architecture("resnet8", "cifar"), CLASSES), (0.5,) * 3, (0.2,) * 3, 16)


def task_of(student: TappedNetwork, teacher: TappedNetwork, **values: object) -> DistillationTask:
    torch.manual_seed(3)
    distill = DistillSettings.model_validate(values)
    student.tap_stages = teacher.tap_stages = "fitnet" in values.values()
    return DistillationTask(student, build_method(distill, student.shape, teacher.shape, torch.randn(CLASSES, 6)))


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)), labels_of(0, 6, CLASSES)


@pytest.mark.parametrize("method", ["fitnet", "tmkd"])
def test_hint_in_the_middle_is_compared_at_its_own_stage(method: str) -> None:
    student, teacher = network(0).train(), network(1).eval().requires_grad_(False)
    task = task_of(student, teacher, method=method, base="fitnet", contrast={"weight": 0.0})
    images, labels = batch()
    output = student(images)
    losses = task.method(output, teacher(images), labels, 1.0)
    middle = output.stage_maps[-2]
    pulls = {
        name: torch.autograd.grad(loss, middle, retain_graph=True)[0].norm().item() for name, loss in losses.items()
    }
    assert pulls["feature"] == pytest.approx(pulls["ce"], rel=1e-4)  # both with a share of .5


def test_frozen_body_is_compared_at_the_logits() -> None:
    student, teacher = network(0).train(), network(1).eval().requires_grad_(False)
    for name, parameter in student.named_parameters():
        parameter.requires_grad_("linear" in name)
    task = task_of(student, teacher, method="kd")
    images, labels = batch()
    output = student(images)
    losses = task.method(output, teacher(images), labels, 1.0)
    pulls = {
        name: torch.autograd.grad(loss, output.logits, retain_graph=True)[0].norm() for name, loss in losses.items()
    }
    assert pulls["logits"].item() == pytest.approx(pulls["ce"].item(), rel=1e-4)
    balance = task.method.balance
    assert balance is not None and balance.get_extra_state().item() == 0  # the first steps are still to come
    student.requires_grad_(True)
    task(images, labels, teacher(images), 1.0)
    assert balance.get_extra_state().item() == 1


@pytest.mark.parametrize(("method", "base"), METHODS_AND_BASES)
def test_without_balance_weights_are_factors_of_the_losses(method: str, base: str) -> None:
    student, teacher, labels = student_of(0), network_output(1, 6, CLASSES, 7), labels_of(0, 6, CLASSES)
    model = balanced(student, teacher, method=method, base=base, balance="none")
    losses, terms = model(student, teacher, labels, 0.3), model.terms(student, teacher, labels)
    ramped = {"feature", "contrast"} | ({"logits"} if "dkd" in (method, base) else set())
    for name, loss in losses.items():
        weight = getattr(model.settings, name).weight * (0.3 if name in ramped else 1.0)
        assert loss.item() == (weight * terms[name]).item(), name
    assert model.balance is None and not any("balance" in name for name in model.state_dict())


def test_plain_training_is_not_balanced() -> None:
    student = student_of(0)
    distill = DistillSettings(method="ce", balance="auto")
    assert build_method(distill, shape_of(student), None, None).balance is None


def test_one_process_of_a_group_has_the_scales_of_a_process_alone() -> None:
    student = student_of(0)
    unit = cross_entropy(student.logits, labels_of(0, 6, CLASSES))
    terms = {"logits": student.logits.square().mean()}
    alone = LossBalance()(unit, terms, student)["logits"]
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert torch.equal(LossBalance()(unit, terms, student)["logits"], alone)
    finally:
        torch.distributed.destroy_process_group()
