"""Every loss against its formula in float64 NumPy, its gradient, and its behaviour in half precision."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models import mobilenet_v2, resnet18

from pipeline.distill.losses import (
    class_activation_maps,
    class_attention_loss,
    cross_entropy,
    decoupled_parts,
    hierarchical_context_loss,
    kl_logits,
    mean_squared_error_of_maps,
    representation_contrast,
    standardise,
)
from tests.pipeline.distill.reference import pool as reference_pool
from tests.pipeline.distill.reference import to_one_size

seeds = st.integers(0, 10_000)
temperatures = st.floats(0.5, 10)


def softmax(values: np.ndarray, axis: int = -1) -> np.ndarray:
    values = np.exp(values - values.max(axis=axis, keepdims=True))
    return values / values.sum(axis=axis, keepdims=True)


def kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return (p * (np.log(p) - np.log(q))).sum(axis=-1)


def logits_of(seed: int, images: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(size=(2, images, classes)) * 3
    return student, teacher, rng.integers(0, classes, images)


@given(seed=seeds, images=st.integers(1, 6), classes=st.integers(2, 9), smoothing=st.sampled_from([0.0, 0.1, 0.4]))
@settings(deadline=None, max_examples=30)
def test_cross_entropy_equals_the_formula(seed: int, images: int, classes: int, smoothing: float) -> None:
    student, _, labels = logits_of(seed, images, classes)
    target = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    expected = -(target * np.log(softmax(student))).sum(axis=-1).mean()
    result = cross_entropy(torch.tensor(student), torch.tensor(labels), smoothing)
    assert result.item() == pytest.approx(expected, abs=1e-9)
    if not smoothing:
        assert cross_entropy(torch.tensor(student), torch.tensor(labels)).item() == result.item()


@given(seed=seeds, images=st.integers(1, 6), classes=st.integers(2, 9), temperature=temperatures)
@settings(deadline=None, max_examples=40)
def test_kl_of_logits_equals_the_formula(seed: int, images: int, classes: int, temperature: float) -> None:
    student, teacher, _ = logits_of(seed, images, classes)
    expected = temperature**2 * kl(softmax(teacher / temperature), softmax(student / temperature)).mean()
    result = kl_logits(torch.tensor(student), torch.tensor(teacher), temperature)
    assert result.item() == pytest.approx(expected, abs=1e-9)
    single = kl_logits(torch.tensor(student).float(), torch.tensor(teacher).float(), temperature)
    assert single.item() == pytest.approx(expected, abs=1e-4)


@given(
    seed=seeds,
    images=st.integers(1, 6),
    classes=st.integers(2, 9),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
@settings(deadline=None, max_examples=30)
def test_identical_logits_have_no_kl(seed: int, images: int, classes: int, scale: float, dtype: torch.dtype) -> None:
    logits = (torch.tensor(logits_of(seed, images, classes)[0]) / 10 * scale).to(dtype)
    assert kl_logits(logits, logits.clone(), 1.0).item() == 0


@given(
    seed=seeds,
    batch=st.tuples(st.integers(1, 3), st.integers(2, 5)),
    sizes=st.tuples(*[st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))] * 2),
    pool=st.integers(1, 4),
    normalise=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_class_attention_equals_the_formula(
    seed: int, batch: tuple[int, int], sizes: tuple[tuple[int, ...], tuple[int, ...]], pool: int, normalise: bool
) -> None:
    rng, (images, classes) = np.random.default_rng(seed), batch
    maps, tensors = [], []
    for size in sizes:  # of student and teacher
        features, weight = rng.normal(size=(images, *size)), rng.normal(size=(classes, size[0]))
        full = np.einsum("kc,bchw->bkhw", weight, features)
        np.testing.assert_allclose(
            class_activation_maps(torch.tensor(features), torch.tensor(weight)).numpy(), full, atol=1e-9
        )
        pooled = reference_pool(full, pool, pool)
        if normalise:
            pooled = pooled / np.sqrt((pooled**2).sum(axis=(-1, -2), keepdims=True))
        maps.append(pooled)
        tensors += [torch.tensor(features), torch.tensor(weight)]
    expected = ((maps[0] - maps[1]) ** 2).mean()
    result = class_attention_loss(*tensors, pool=pool, normalise=normalise)
    assert result.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(
    seed=seeds,
    sizes=st.tuples(*[st.tuples(st.integers(1, 9), st.integers(1, 9))] * 2),
    images=st.integers(1, 3),
    channels=st.integers(1, 4),
)
@settings(deadline=None, max_examples=40)
def test_errors_of_maps_equal_the_formula(
    seed: int, sizes: tuple[tuple[int, int], tuple[int, int]], images: int, channels: int
) -> None:
    rng = np.random.default_rng(seed)
    student, teacher = (rng.normal(size=(images, channels, *size)) for size in sizes)
    ours, theirs = to_one_size(student, teacher)
    errors = {0: ((ours - theirs) ** 2).mean()}
    plain = mean_squared_error_of_maps(torch.tensor(student), torch.tensor(teacher))
    assert plain.item() == pytest.approx(errors[0], rel=1e-9)
    for side in (4, 2, 1):
        if side < min(ours.shape[2:]):
            errors[side] = ((reference_pool(ours, side, side) - reference_pool(theirs, side, side)) ** 2).mean()
    shares = {0: 1, 4: 0.5, 2: 0.25, 1: 0.125}
    expected = sum(shares[side] * error for side, error in errors.items()) / sum(shares[side] for side in errors)
    result = hierarchical_context_loss(torch.tensor(student), torch.tensor(teacher))
    assert result.item() == pytest.approx(expected, rel=1e-9)
    assert hierarchical_context_loss(torch.tensor(student), torch.tensor(student)).item() == 0


@pytest.mark.parametrize("build", [resnet18, mobilenet_v2])
def test_pooled_class_activation_maps_and_bias_are_the_logits_of_a_real_net(build) -> None:
    torch.manual_seed(0)
    network = build(num_classes=7).eval()
    body, classifier = (network.layer4, network.fc) if build is resnet18 else (network.features, network.classifier[-1])
    taken: list[torch.Tensor] = []
    body.register_forward_hook(lambda _module, _inputs, output: taken.append(output))
    with torch.no_grad():
        logits = network(torch.rand(2, 3, 64, 96))
        maps = class_activation_maps(taken[0], classifier.weight)
    assert maps.shape[-2:] == (2, 3)
    torch.testing.assert_close(maps.mean(dim=(2, 3)) + classifier.bias, logits, atol=1e-5, rtol=1e-4)


@given(seed=seeds, images=st.integers(1, 6), classes=st.integers(2, 9))
@settings(deadline=None, max_examples=30)
def test_standardised_logits_equal_the_formula(seed: int, images: int, classes: int) -> None:
    logits = logits_of(seed, images, classes)[0]
    expected = (logits - logits.mean(axis=1, keepdims=True)) / np.maximum(logits.std(axis=1, keepdims=True), 1e-3)
    result = standardise(torch.tensor(logits))
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)
    if logits.std(axis=1).min() > 1e-3:
        shifted = standardise(torch.tensor(logits * 7 + 3))
        torch.testing.assert_close(shifted, result, atol=1e-6, rtol=0)


def test_equal_logits_standardise_to_0_with_a_finite_gradient() -> None:
    logits = torch.full((2, 5), 3.0, requires_grad=True)
    result = standardise(logits)
    kl_logits(result, torch.randn(2, 5), 2.0).backward()
    assert result.abs().max() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e3


@given(seed=seeds, images=st.integers(1, 6), classes=st.integers(3, 9), temperature=temperatures)
@settings(deadline=None, max_examples=40)
def test_decoupled_parts_equal_the_formula(seed: int, images: int, classes: int, temperature: float) -> None:
    student, teacher, labels = logits_of(seed, images, classes)
    p_t, p_s = softmax(teacher / temperature), softmax(student / temperature)
    tckd, nckd = [], []
    for i, label in enumerate(labels):
        others = np.arange(classes) != label
        pairs = [np.array([p[i, label], p[i, others].sum()]) for p in (p_t, p_s)]
        tckd.append(kl(*pairs))
        nckd.append(kl(*[p[i, others] / p[i, others].sum() for p in (p_t, p_s)]))
    parts = decoupled_parts(torch.tensor(student), torch.tensor(teacher), torch.tensor(labels), temperature)
    np.testing.assert_allclose(parts[0].numpy(), tckd, atol=1e-8)
    np.testing.assert_allclose(parts[1].numpy(), nckd, atol=1e-8)


@given(
    seed=seeds,
    images=st.integers(1, 6),
    classes=st.integers(3, 9),
    temperature=temperatures,
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
@settings(deadline=None, max_examples=40)
def test_decoupled_parts_recombine_to_kd(
    seed: int, images: int, classes: int, temperature: float, dtype: torch.dtype
) -> None:
    student, teacher, labels = (torch.tensor(x) for x in logits_of(seed, images, classes))
    student, teacher = student.to(dtype), teacher.to(dtype)
    tckd, nckd = decoupled_parts(student, teacher, labels, temperature)
    wide = teacher.double() / temperature
    rest = 1 - wide.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
    recombined = (temperature**2 * (tckd + rest * nckd).mean()).item()
    exact = dtype == torch.float64
    kl = kl_logits(student, teacher, temperature).item()
    assert recombined == pytest.approx(kl, abs=1e-9 if exact else 1e-4, rel=1e-7 if exact else 1e-4)


@given(
    seed=seeds,
    shape=st.tuples(st.integers(1, 4), st.integers(2, 6), *[st.integers(1, 6)] * 3),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
@settings(deadline=None, max_examples=40)
def test_pooled_class_activation_maps_and_bias_are_the_logits(
    seed: int, shape: tuple[int, int, int, int, int], dtype: torch.dtype
) -> None:
    images, classes, *size = shape
    rng = np.random.default_rng(seed)
    features, weight, bias = (
        torch.tensor(rng.normal(size=s)).to(dtype) for s in ((images, *size), (classes, size[0]), classes)
    )
    logits = features.double().mean(dim=(2, 3)) @ weight.double().T + bias.double()
    found = class_activation_maps(features, weight).mean(dim=(2, 3)) + bias
    torch.testing.assert_close(found.double(), logits, atol=1e-5, rtol=1e-5)


@given(seed=seeds, images=st.integers(1, 7), classes=st.integers(1, 4), temperature=st.floats(0.05, 2))
@settings(deadline=None, max_examples=40)
def test_representation_contrast_equals_the_formula(seed: int, images: int, classes: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(size=(2, images, 5))
    labels = rng.integers(0, classes, images)
    s, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (student, teacher))
    expected = 0.0
    for i in range(images):
        keys = [i, *(j for j in range(images) if labels[j] != labels[i])]
        for anchor, bank in ((s, t), (t, s)):
            expected -= math.log(softmax(bank[keys] @ anchor[i] / temperature)[0]) / images
    result = representation_contrast(torch.tensor(student), torch.tensor(teacher), torch.tensor(labels), temperature)
    assert result.item() == pytest.approx(expected, abs=1e-8)


def test_gradients_are_those_of_the_formulas() -> None:
    student, teacher, labels = (torch.tensor(x) for x in logits_of(0, 3, 4))
    student.requires_grad_()
    rng = np.random.default_rng(1)
    features, weight = (torch.tensor(rng.normal(size=size), requires_grad=True) for size in ((2, 3, 5, 4), (4, 3)))
    other, other_weight = torch.tensor(rng.normal(size=(2, 2, 3, 3))), torch.tensor(rng.normal(size=(4, 2)))
    embeddings, keys = torch.tensor(rng.normal(size=(2, 3, 5)))
    embeddings.requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda x: cross_entropy(x, labels, 0.1), student)
    assert check(lambda x: kl_logits(x, teacher, 3.0), student)
    assert check(lambda x: kl_logits(standardise(x), standardise(teacher), 2.0), student)
    assert check(lambda x: decoupled_parts(x, teacher, labels, 4.0), student)
    for normalise in (False, True):
        assert check(
            lambda f, w, on=normalise: class_attention_loss(f, w, other, other_weight, pool=2, normalise=on),
            (features, weight),
        )
    assert check(lambda x: representation_contrast(x, keys, labels, 0.5), embeddings)
    matched = torch.tensor(rng.normal(size=(2, 3, 4, 3)))
    assert check(lambda x: mean_squared_error_of_maps(x, matched), features)
    assert check(lambda x: hierarchical_context_loss(x, matched), features)


def test_losses_stay_on_the_device_of_their_arguments() -> None:
    with FakeTensorMode():  # a GPU of which nothing is computed, and which refuses operands of the CPU
        logits, maps, weight = (torch.empty(size, device="cuda") for size in ((4, 3), (4, 5, 2, 2), (3, 5)))
        labels, share = torch.zeros(4, dtype=torch.int64, device="cuda"), torch.ones(4)
        losses = [
            cross_entropy(logits, labels, 0.1, torch.ones(3), (labels, share)),
            kl_logits(logits, logits, 4.0),
            *decoupled_parts(logits, logits, labels, 4.0),
            class_attention_loss(maps, weight, maps, weight, pool=2, normalise=True),
            representation_contrast(logits, logits, labels, 0.1),
        ]
    assert {loss.device.type for loss in losses} == {"cuda"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("classes", [2, 3, 100])
def test_losses_stay_finite_and_fp32_at_extreme_values_in_autocast(dtype: torch.dtype, classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    signs = torch.randint(0, 2, (2, 4, classes), generator=generator) * 2 - 1
    student = (signs[0] * 1e4).to(dtype).requires_grad_()
    teacher = (signs[1] * 1e4).to(dtype)
    maps = (torch.randn(4, 3, 3, 3, generator=generator) * 1e4).to(dtype).requires_grad_()
    weight = torch.randn(classes, 3, generator=generator).to(dtype)
    embeddings = (torch.randn(4, 6, generator=generator) * 1e4).to(dtype).requires_grad_()
    labels = torch.arange(4) % classes
    with torch.autocast("cpu", dtype=dtype):
        losses = [
            cross_entropy(student, labels),
            kl_logits(student, teacher, 1.0),
            kl_logits(standardise(student), standardise(teacher), 2.0),
            class_attention_loss(maps, weight, maps.detach().flip(0), weight, pool=2, normalise=True),
            class_attention_loss(maps, weight, maps.detach().flip(0), weight, pool=2, normalise=False),
            representation_contrast(embeddings, embeddings.detach().flip(0), labels, 0.01),
            mean_squared_error_of_maps(maps, maps.detach().flip(0)),
            hierarchical_context_loss(maps, maps.detach().flip(0)),
        ]
        if classes > 2:
            losses += [part.mean() for part in decoupled_parts(student, teacher, labels, 1.0)]
    for loss in losses:
        assert loss.dtype == torch.float32
        assert loss.isfinite()
    torch.stack(losses[:1] + losses[1:3] + losses[5:]).sum().backward()
    for leaf in (student, embeddings):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@settings(deadline=None, max_examples=60)
@given(seed=seeds, smoothing=st.sampled_from([0.0, 0.1]), weighted=st.booleans(), mixes=st.booleans())
def test_cross_entropy_of_mixed_labels_and_weighted_classes(seed: int, smoothing: float, weighted: bool, mixes: bool):
    random = np.random.default_rng(seed)
    images, classes = 6, 4
    logits = random.normal(size=(images, classes))
    labels, second = random.integers(0, classes, (2, images))
    share = random.uniform(0.5, 1, images)
    weights = random.uniform(0.1, 3, classes) if weighted else np.ones(classes)
    log_p = np.log(softmax(logits))
    total = norm = 0.0
    for row in range(images):
        parts = [(labels[row], share[row]), (second[row], 1 - share[row])] if mixes else [(labels[row], 1.0)]
        for label, part in parts:
            target = np.full(classes, smoothing / classes)
            target[label] += 1 - smoothing
            total += part * -(weights * target * log_p[row]).sum()
            norm += part * weights[label]
    found = cross_entropy(
        torch.from_numpy(logits),
        torch.from_numpy(labels),
        smoothing,
        torch.from_numpy(weights) if weighted else None,
        (torch.from_numpy(second), torch.from_numpy(share)) if mixes else None,
    )
    assert found.item() == pytest.approx(total / norm, rel=1e-6)


@pytest.mark.parametrize("mixes", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_mean_over_processes_is_the_cross_entropy_of_the_whole_batch(
    mixes: bool, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    logits, labels, second = torch.tensor(rng.normal(size=(6, 3))), torch.arange(6) % 3, (torch.arange(6) // 2) % 3
    share = torch.tensor(rng.uniform(size=6))
    weights = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64) if weighted else None
    rows = ([0, 1, 3], [2, 4, 5])  # classes of other weights in each process

    def of(part: list[int]) -> torch.Tensor:
        mixed = (second[part], share[part]) if mixes else None
        return cross_entropy(logits[part], labels[part], 0.1, weights, mixed)

    whole = of(list(range(6)))

    def norm(part: list[int]) -> torch.Tensor:
        ones = torch.ones(3, dtype=torch.float64) if weights is None else weights
        if not mixes:
            return ones[labels[part]].sum()
        return (share[part] * ones[labels[part]] + (1 - share[part]) * ones[second[part]]).sum()

    def averaged_with(rest: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda value: (value + rest) / 2

    monkeypatch.setattr("pipeline.distill.losses.process_count", lambda: 2)
    losses = []
    for own, other in (rows, rows[::-1]):
        monkeypatch.setattr("pipeline.distill.losses.averaged", averaged_with(norm(other)))
        losses.append(of(own).item())
    assert sum(losses) / 2 == pytest.approx(whole.item(), rel=1e-12)


def test_second_labels_without_a_share_and_equal_weights_change_nothing():
    logits, labels, second = logits_of(3, 5, 4)[0], np.arange(5) % 4, (np.arange(5) + 1) % 4
    given_labels = torch.from_numpy(labels)
    plain = cross_entropy(torch.from_numpy(logits), given_labels, 0.1)
    mixed = (torch.from_numpy(second), torch.ones(5))
    assert cross_entropy(torch.from_numpy(logits), given_labels, 0.1, torch.ones(4), mixed).item() == pytest.approx(
        plain.item(), rel=1e-12
    )
