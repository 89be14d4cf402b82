"""Every loss against its formula in float64 NumPy, its gradient, and its behaviour in half precision."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models import mobilenet_v2, resnet18

from pipeline.distill.losses import (
    class_activation_maps,
    class_attention_loss,
    cross_entropy,
    decoupled_parts,
    kl_logits,
    representation_contrast,
    standardise,
)

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
def test_cross_entropy(seed: int, images: int, classes: int, smoothing: float) -> None:
    student, _, labels = logits_of(seed, images, classes)
    target = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    expected = -(target * np.log(softmax(student))).sum(axis=-1).mean()
    result = cross_entropy(torch.tensor(student), torch.tensor(labels), smoothing)
    assert result.item() == pytest.approx(expected, abs=1e-9)


@given(seed=seeds, images=st.integers(1, 6), classes=st.integers(2, 9), temperature=temperatures)
@settings(deadline=None, max_examples=40)
def test_kl_of_logits(seed: int, images: int, classes: int, temperature: float) -> None:
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


def reference_pool(maps: np.ndarray, side: int) -> np.ndarray:
    height, width = maps.shape[-2:]
    pooled = np.empty((*maps.shape[:-2], side, side))
    for i in range(side):
        for j in range(side):
            rows = slice(i * height // side, math.ceil((i + 1) * height / side))
            columns = slice(j * width // side, math.ceil((j + 1) * width / side))
            pooled[..., i, j] = maps[..., rows, columns].mean(axis=(-1, -2))
    return pooled


@given(
    seed=seeds,
    batch=st.tuples(st.integers(1, 3), st.integers(2, 5)),
    sizes=st.tuples(*[st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))] * 2),
    pool=st.integers(1, 4),
    normalise=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_class_attention(
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
        pooled = reference_pool(full, pool)
        if normalise:
            pooled = pooled / np.sqrt((pooled**2).sum(axis=(-1, -2), keepdims=True))
        maps.append(pooled)
        tensors += [torch.tensor(features), torch.tensor(weight)]
    expected = ((maps[0] - maps[1]) ** 2).mean()
    result = class_attention_loss(*tensors, pool=pool, normalise=normalise)
    assert result.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


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
def test_standardised_logits(seed: int, images: int, classes: int) -> None:
    logits = logits_of(seed, images, classes)[0]
    expected = (logits - logits.mean(axis=1, keepdims=True)) / logits.std(axis=1, keepdims=True)
    result = standardise(torch.tensor(logits))
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)
    shifted = standardise(torch.tensor(logits * 7 + 3))
    torch.testing.assert_close(shifted, result, atol=1e-6, rtol=0)


def test_equal_logits_standardise_to_0_with_a_finite_gradient() -> None:
    logits = torch.full((2, 5), 3.0, requires_grad=True)
    result = standardise(logits)
    kl_logits(result, torch.randn(2, 5), 2.0).backward()
    assert result.abs().max() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@given(seed=seeds, images=st.integers(1, 6), classes=st.integers(3, 9), temperature=temperatures)
@settings(deadline=None, max_examples=40)
def test_decoupled_parts(seed: int, images: int, classes: int, temperature: float) -> None:
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


@given(seed=seeds, images=st.integers(1, 6), classes=st.integers(3, 9), temperature=temperatures)
@settings(deadline=None, max_examples=40)
def test_decoupled_parts_recombine_to_kd(seed: int, images: int, classes: int, temperature: float) -> None:
    student, teacher, labels = (torch.tensor(x) for x in logits_of(seed, images, classes))
    tckd, nckd = decoupled_parts(student, teacher, labels, temperature)
    rest = 1 - (teacher / temperature).softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
    recombined = temperature**2 * (tckd + rest * nckd).mean()
    torch.testing.assert_close(recombined, kl_logits(student, teacher, temperature), atol=1e-9, rtol=1e-7)


@given(seed=seeds, images=st.integers(1, 7), classes=st.integers(1, 4), temperature=st.floats(0.05, 2))
@settings(deadline=None, max_examples=40)
def test_representation_contrast(seed: int, images: int, classes: int, temperature: float) -> None:
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
