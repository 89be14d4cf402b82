"""What holds for every method alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from exporters.core.errors import UsageError
from pipeline.distill.build import build_method
from pipeline.distill.losses import class_attention_loss, cross_entropy, decoupled_parts, kl_logits, standardise
from pipeline.distill.methods.base import Method, _mixed, given_shape, require_cam
from pipeline.distill.registry import METHODS, base_methods
from pipeline.distill.settings import DistillSettings
from pipeline.models.outputs import NetworkOutput, NetworkShape
from pipeline.randomness import Samples
from tests.pipeline.distill.networks import extreme_output, labels_of, loss_settings, network_output, shape_of

ALONE = [name for name in METHODS if name != "tmkd"]


def build(method: str, student: NetworkOutput, teacher: NetworkOutput | None, **values: object) -> Method:
    distill = DistillSettings.model_validate({"method": method, "balance": "none", **values})
    return build_method(distill, shape_of(student), None if teacher is None else shape_of(teacher), None)


def expected_terms(name: str, student: NetworkOutput, teacher: NetworkOutput, labels: torch.Tensor) -> dict[str, float]:
    ce, kd = cross_entropy(student.logits, labels), kl_logits(student.logits, teacher.logits, 4.0)
    if name == "ce":
        return {"ce": ce.item()}
    if name == "kd":
        return {"ce": 0.1 * ce.item(), "logits": 0.9 * kd.item()}
    if name == "logit_std":
        standard = kl_logits(standardise(student.logits), standardise(teacher.logits), 2.0)
        return {"ce": 0.1 * ce.item(), "logits": 9 * standard.item()}
    if name == "dkd":
        tckd, nckd = decoupled_parts(student.logits, teacher.logits, labels, 4.0)
        return {"ce": ce.item(), "logits": 0.5 * 16 * (tckd + 8 * nckd).mean().item()}
    maps = student.feature_map, student.classifier_weight, teacher.feature_map, teacher.classifier_weight
    cat = class_attention_loss(*maps, pool=2, normalise=True)  # type: ignore[arg-type]
    return {"ce": ce.item(), "feature": 0.5 * 40 * cat.item()}


@pytest.mark.parametrize("name", ["ce", "kd", "logit_std", "dkd", "cat_kd"])
@given(seed=st.integers(0, 1000), images=st.integers(1, 5), classes=st.integers(3, 7))
@settings(deadline=None, max_examples=8)
def test_losses_equal_the_weighted_formulas(name: str, seed: int, images: int, classes: int) -> None:
    student = network_output(seed, images, classes, 4)
    teacher = network_output(seed + 1, images, classes, 6, size=(2, 5))
    labels = labels_of(seed, images, classes)
    losses = build(name, student, teacher)(student, teacher, labels, 0.5)
    expected = expected_terms(name, student, teacher, labels)
    assert {key: value.item() for key, value in losses.items()} == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_finite_in_autocast_and_teach_the_student(name: str, classes: int, dtype: torch.dtype) -> None:
    if name == "dkd" and classes == 2:
        pytest.skip("refused")
    student = network_output(0, 4, classes, 3, dtype=dtype, learns=True)
    teacher = network_output(1, 4, classes, 5, dtype=dtype)
    method = build(name, student, teacher)
    with torch.autocast("cpu", dtype=dtype):
        losses = method(student, teacher, labels_of(0, 4, classes), 1.0)
    assert all(loss.dtype == torch.float32 and loss.dim() == 0 and loss.isfinite() for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert student.feature_map is not None
    assert student.feature_map.grad is not None
    assert student.feature_map.grad.isfinite().all()
    assert student.feature_map.grad.abs().max() > 0


PLUGGED = [("tmkd", base) for base in base_methods()]


def build_any(name: str, base: str, student: NetworkOutput, teacher: NetworkOutput, **values: object) -> Method:
    torch.manual_seed(0)
    distill = DistillSettings.model_validate({"method": name, "base": base, "balance": "none", **values})
    anchors = torch.randn(student.logits.shape[1], 6, generator=torch.Generator().manual_seed(5))
    return build_method(distill, shape_of(student), shape_of(teacher), anchors)


@pytest.mark.parametrize(("name", "base"), [*((name, "kd") for name in ALONE), *PLUGGED])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_extreme_logits_and_features_give_finite_losses_and_gradients(
    name: str, base: str, classes: int, dtype: torch.dtype
) -> None:
    student, teacher = (extreme_output(seed, 4, classes, 3 + seed, dtype) for seed in (0, 1))
    if classes == 2 and "dkd" in (name, base):
        with pytest.raises(UsageError, match="not defined for 2 classes"):
            build_any(name, base, student, teacher)
        return
    method = build_any(name, base, student, teacher)
    with torch.autocast("cpu", dtype=dtype):
        losses = method(student, teacher, labels_of(0, 4, classes), 1.0)
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert student.logits.grad is not None
    assert student.logits.grad.isfinite().all()
    for parameter in method.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize(("name", "base"), [*((name, "kd") for name in ALONE), *PLUGGED])
def test_gradients_are_those_of_the_losses(name: str, base: str) -> None:
    size = (2, 1) if "at" in (name, base) else (1, 1)
    teacher = network_output(1, 2, 3, 3, size, dtype=torch.float64)
    first = network_output(0, 2, 3, 2, size, dtype=torch.float64, learns=True)
    method = build_any(name, base, first, teacher, contrast={"temperature": 0.5}).double()
    labels = torch.tensor([0, 2])
    parameters = tuple(method.parameters())

    def total(*leaves: torch.Tensor) -> torch.Tensor:
        weight, bias, *maps = leaves[:5]
        pooled = maps[-1].mean(dim=(2, 3))
        student = NetworkOutput(pooled @ weight.T + bias, pooled, maps[-1], weight, bias, tuple(maps))
        return torch.stack(list(method(student, teacher, labels, 0.7).values())).sum()

    leaves = (first.classifier_weight, first.classifier_bias, *first.stage_maps)
    assert torch.autograd.gradcheck(total, leaves)
    if parameters:
        total(*leaves).backward()
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in parameters)


@pytest.mark.parametrize("name", base_methods())
@given(seed=st.integers(0, 1000), classes=st.integers(3, 6))
@settings(deadline=None, max_examples=5)
def test_without_the_teacher_s_lines_a_method_is_plain_training(name: str, seed: int, classes: int) -> None:
    student, teacher = network_output(seed, 3, classes, 4), network_output(seed + 1, 3, classes, 4)
    labels = labels_of(seed, 3, classes)
    off: dict[str, object] = {"ce": {"weight": 1.0}, "feature": {"weight": 0.0}, "logits": {"weight": 0.0}}
    losses = build(name, student, teacher, **off)(student, teacher, labels, 1.0)
    plain = build("ce", student, None)(student, None, labels, 1.0)
    assert list(losses) == list(plain) == ["ce"]
    assert losses["ce"].item() == plain["ce"].item()


def test_a_missing_teacher_is_refused() -> None:
    student, teacher = network_output(0, 2, 3, 4), network_output(1, 2, 3, 4)
    with pytest.raises(ValueError, match="KnowledgeDistillation needs a teacher"):
        build("kd", student, teacher)(student, None, labels_of(0, 2, 3), 1.0)
    with pytest.raises(UsageError, match="cat_kd needs a visual teacher"):
        given_shape(None, "cat_kd")


def test_only_working_bases_are_suggested() -> None:
    tokens = NetworkShape(classes=3, channels=4, map_size=None, has_cam=False)
    no_classifier = NetworkShape(3, 3, None, has_cam=False, has_classifier=False, stages=((4, 8, 8), (3, 4, 4)))
    one_pixel = NetworkShape(classes=3, channels=4, map_size=(1, 1), has_cam=False)
    for shape, working in (
        (tokens, "kd, dkd, logit_std, dist, mlld, crd, rkd"),
        (no_classifier, "kd, dkd, logit_std, dist, mlld, fitnet, reviewkd"),
        (one_pixel, "kd, dkd, logit_std, dist, mlld, crd, rkd, sp"),
    ):
        with pytest.raises(UsageError) as caught:
            require_cam(shape, shape, "distill: cat_kd")
        assert caught.value.remedy is not None
        assert f": {working} (" in caught.value.remedy
        for base in working.split(", "):  # and they do
            distill = DistillSettings.model_validate({"method": "tmkd", "base": base, "contrast": {"weight": 0.0}})
            build_method(distill, shape, shape, None)


@pytest.mark.parametrize(("method", "base"), [("crd", "kd"), ("tmkd", "crd"), ("tmkd", "kd")])
def test_nets_without_pooled_features_are_refused_where_those_are_used(method: str, base: str) -> None:
    shape = NetworkShape(3, 3, None, has_cam=False, has_classifier=False)
    distill = DistillSettings.model_validate({"method": method, "base": base, "contrast": {"weight": 0.8}})
    with pytest.raises(UsageError, match=r"needs (the student's )?pooled features") as caught:
        build_method(distill, shape, shape, torch.randn(3, 4))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("student_has", "teacher_has", "named"),
    [(False, True, "student has"), (True, False, "teacher has"), (False, False, "student and the teacher have")],
)
def test_a_net_without_class_activation_maps_is_named_with_the_bases_that_work(
    student_has: bool, teacher_has: bool, named: str
) -> None:
    output = network_output(0, 2, 3, 4)
    with pytest.raises(UsageError, match=f"the {named} none") as caught:
        require_cam(shape_of(output, student_has), shape_of(output, teacher_has), "distill: cat_kd")
    assert caught.value.remedy is not None
    for base in base_methods():
        assert (base in caught.value.remedy) == (not METHODS[base].needs_cam)


def test_mixed_labels_go_to_the_labels_device_and_are_none_without_a_share() -> None:
    pair = _mixed(Samples(torch.arange(2), 0, torch.tensor([1, 0]), torch.tensor([0.5, 1.0])), torch.device("meta"))
    assert pair is not None and [each.device.type for each in pair] == ["meta", "meta"]
    assert _mixed(Samples(torch.arange(2), 0, torch.tensor([1, 0]), None), torch.device("cpu")) is None


def test_what_was_mixed_goes_to_the_device_of_the_labels() -> None:
    output = network_output(0, 2, 3, 4)
    method = build("ce", output, None)
    with FakeTensorMode():  # a GPU of which nothing is computed, and which refuses operands of the CPU
        logits, labels = torch.empty(2, 3, device="cuda"), torch.zeros(2, dtype=torch.int64, device="cuda")
        samples = Samples(torch.arange(2), 0, torch.zeros(2, dtype=torch.int64), torch.ones(2))
        assert method.cross_entropy(output._replace(logits=logits), labels, samples).device.type == "cuda"


class Asking(Method):
    """Losses that tell what they were given."""

    def feature_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: torch.Tensor) -> torch.Tensor:
        return student.logits.sum() + 10 * teacher.logits.sum() + 100 * labels.sum()

    def logits_loss(self, student: NetworkOutput, teacher: NetworkOutput, labels: torch.Tensor) -> torch.Tensor:
        return -self.feature_loss(student, teacher, labels)


def test_losses_are_given_both_outputs_and_the_labels() -> None:
    student, teacher, labels = network_output(0, 2, 3, 4), network_output(1, 2, 3, 4), torch.tensor([1, 2])
    method = Asking(loss_settings(logits={"weight": 1.0}, feature={"weight": 1.0}), shape_of(student), None)
    expected = student.logits.sum().item() + 10 * teacher.logits.sum().item() + 300
    terms = {name: term.item() for name, term in method.terms(student, teacher, labels).items()}
    assert terms == pytest.approx({"logits": -expected, "feature": expected}, rel=1e-6)


class Given(Method):
    """Losses that are given, of 2, 3, 5 and 7."""

    def terms(self, *_: object) -> dict[str, torch.Tensor]:
        return {name: torch.tensor(value) for name, value in GIVEN.items()}


class Doubling(torch.nn.Module):
    """A balance that doubles each loss, and keeps what it was given."""

    def forward(self, unit: torch.Tensor, terms: dict[str, torch.Tensor], student: object) -> dict[str, torch.Tensor]:
        self.seen = unit.item(), {name: term.item() for name, term in terms.items()}, student
        return {name: torch.tensor(2.0) for name in terms}


GIVEN = {"ce": 2.0, "logits": 3.0, "feature": 5.0, "contrast": 7.0}
WEIGHTS = {"ce": 0.5, "logits": 11.0, "feature": 13.0, "contrast": 17.0}


@pytest.mark.parametrize("ramps_logits", [False, True])
def test_each_loss_has_its_weight_and_its_warm_up(ramps_logits: bool) -> None:
    output = network_output(0, 2, 3, 4)
    method = Given(
        loss_settings(**{name: {"weight": weight} for name, weight in WEIGHTS.items()}), shape_of(output), None
    )
    method.ramps_logits = ramps_logits
    ramps = {"ce": 1.0, "logits": 0.25 if ramps_logits else 1.0, "feature": 0.25, "contrast": 0.25}
    expected = {name: GIVEN[name] * WEIGHTS[name] * ramps[name] for name in GIVEN}
    found = method(output, None, labels_of(0, 2, 3), 0.25)
    assert {name: loss.item() for name, loss in found.items()} == expected
    method.balance = balance = Doubling()  # type: ignore[assignment]
    found = method(output, None, labels_of(0, 2, 3), 0.25)
    taught = {name: value for name, value in GIVEN.items() if name != "ce"}
    assert balance.seen == (2.0, taught, output)
    assert {name: loss.item() for name, loss in found.items()} == {
        name: value * (1 if name == "ce" else 2) for name, value in expected.items()
    }


def test_balance_of_no_losses_is_not_asked_and_a_missing_unit_is_computed() -> None:
    student, teacher, labels = network_output(0, 3, 4, 5), network_output(1, 3, 4, 5), labels_of(0, 3, 4)
    off = {"weight": 0.0}
    samples = Samples(torch.arange(3), 0, labels.flip(0), torch.tensor([0.5, 0.6, 0.7]))
    for values, asked in (({"ce": off}, True), ({"logits": off}, False)):
        method = build("kd", student, teacher, **values)
        method.balance = balance = Doubling()  # type: ignore[assignment]
        method(student, teacher, labels, 1.0, samples)
        assert hasattr(balance, "seen") == asked
        if asked:
            mixed = (labels.flip(0), torch.tensor([0.5, 0.6, 0.7]))
            assert balance.seen[0] == cross_entropy(student.logits, labels, mixed=mixed).item()


def test_method_without_own_losses_does_not_implement_them() -> None:
    output, method = network_output(0, 2, 3, 4), build("ce", network_output(0, 2, 3, 4), None)
    for loss in (method.feature_loss, method.logits_loss):
        with pytest.raises(NotImplementedError):
            loss(output, output, labels_of(0, 2, 3))


def test_label_smoothing_reaches_the_cross_entropy() -> None:
    student = network_output(0, 2, 3, 4)
    labels = labels_of(0, 2, 3)
    method = build_method(DistillSettings(method="ce"), shape_of(student), None, None, label_smoothing=0.2)
    smooth = cross_entropy(student.logits, labels, 0.2)
    assert method(student, None, labels, 0.0)["ce"].item() == smooth.item()
    assert not math.isclose(smooth.item(), cross_entropy(student.logits, labels).item())


def test_class_weights_and_mixed_labels_reach_the_cross_entropy() -> None:
    student, weights = network_output(0, 4, 3, 4), (0.5, 1.0, 2.0)
    labels, partners, shares = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2]), torch.tensor([0.5, 1, 0.7, 0.9])
    method = build_method(DistillSettings(method="ce"), shape_of(student), None, None, class_weights=weights)
    samples = Samples(torch.arange(4), 0, partners, shares)
    found = method(student, None, labels, 0.0, samples)["ce"].item()
    assert found == cross_entropy(student.logits, labels, 0.0, torch.tensor(weights), (partners, shares)).item()
    assert "class_weights" not in method.state_dict()
    plain = build_method(DistillSettings(method="ce"), shape_of(student), None, None)
    assert plain(student, None, labels, 0.0, Samples(torch.arange(4), 0))["ce"].item() == (
        cross_entropy(student.logits, labels).item()
    )
