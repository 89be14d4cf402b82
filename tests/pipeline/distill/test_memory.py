import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distill.memory import ContrastMemory, TrainingSplit
from pipeline.randomness import Samples

WIDTH, TEMPERATURE = 5, 0.07


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def memory_of(seed: int, images: int, classes: int, negatives: int) -> tuple[ContrastMemory, np.ndarray]:
    labels = np.random.default_rng(seed).integers(0, classes, images)
    labels[:2] = (0, 1)
    torch.manual_seed(seed)
    return ContrastMemory(TrainingSplit(labels, seed), WIDTH, negatives, TEMPERATURE), labels


def batch(seed: int, count: int, images: int, epoch: int = 0) -> tuple[torch.Tensor, torch.Tensor, Samples]:
    rng = np.random.default_rng(seed)
    student, teacher = (torch.tensor(rng.normal(size=(count, WIDTH))) for _ in range(2))
    return student, teacher, Samples(torch.tensor(rng.permutation(images)[:count]), epoch)


def reference_side(
    anchor: np.ndarray, positive: np.ndarray, memory: np.ndarray, negatives: np.ndarray, z: float | None
) -> tuple[float, float]:
    """The loss with h = P/(P + K/M) as it is written, and Z."""
    images, drawn = len(memory), negatives.shape[1]
    attracted = np.exp((anchor * positive).sum(axis=1) / TEMPERATURE)
    repelled = np.exp(np.einsum("bd,bkd->bk", anchor, memory[negatives]) / TEMPERATURE)
    if z is None:
        z = float(np.concatenate([attracted[:, None], repelled], axis=1).mean() * images)
    h_positive = attracted / z / (attracted / z + drawn / images)
    h_negative = repelled / z / (repelled / z + drawn / images)
    return float((-np.log(h_positive) - np.log(1 - h_negative).sum(axis=1)).mean()), z


@given(
    seed=st.integers(0, 1000),
    images=st.integers(4, 30),
    classes=st.integers(2, 5),
    negatives=st.integers(1, 40),
    count=st.integers(1, 4),
)
@settings(deadline=None, max_examples=30)
def test_losses_of_two_batches_equal_the_formula(
    seed: int, images: int, classes: int, negatives: int, count: int
) -> None:
    memory, _ = memory_of(seed, images, classes, negatives)
    memories = [x.double().numpy().copy() for x in (memory.student, memory.teacher)]
    normalisers: list[float | None] = [None, None]
    for number in range(2):
        student, teacher, samples = batch(seed + number, count, images, epoch=number)
        ours, theirs = unit(student.numpy()), unit(teacher.numpy())
        drawn = memory.draw(samples).numpy()
        first, normalisers[0] = reference_side(ours, theirs, memories[1], drawn, normalisers[0])
        second, normalisers[1] = reference_side(theirs, ours, memories[0], drawn, normalisers[1])
        assert memory(student, teacher, samples).item() == pytest.approx(first + second, rel=1e-4)
        for own, embeddings in zip(memories, (ours, theirs), strict=True):
            rows = samples.indices.numpy()
            own[rows] = unit(0.5 * own[rows] + 0.5 * embeddings)
        np.testing.assert_allclose(memory.student.numpy(), memories[0], atol=1e-6)
        np.testing.assert_allclose(memory.teacher.numpy(), memories[1], atol=1e-6)
    np.testing.assert_allclose(memory.log_normaliser.numpy(), np.log(normalisers), rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 1000), images=st.integers(2, 40), classes=st.integers(2, 6), epoch=st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_negatives_are_of_other_classes_and_follow_from_seed_pass_and_image(
    seed: int, images: int, classes: int, epoch: int
) -> None:
    memory, labels = memory_of(seed, images, classes, 50)
    every = Samples(torch.arange(images), epoch)
    drawn = memory.draw(every).numpy()
    assert (labels[drawn] != labels[:, None]).all()
    # Whatever else is in the batch, and in whichever order.
    order = np.random.default_rng(seed).permutation(images)[: images // 2 + 1]
    assert np.array_equal(memory.draw(Samples(torch.tensor(order), epoch)).numpy(), drawn[order])
    if images > 10:
        assert not np.array_equal(memory.draw(Samples(torch.arange(images), epoch + 1)).numpy(), drawn)


def test_every_image_of_another_class_is_equally_likely() -> None:
    labels = np.array([2, 0, 1, 1, 0, 2, 1, 3])
    memory = ContrastMemory(TrainingSplit(labels, 0), WIDTH, 40_000, TEMPERATURE)
    for index, label in enumerate(labels):
        (drawn,) = memory.draw(Samples(torch.tensor([index]), 0)).numpy()
        shares = np.bincount(drawn, minlength=len(labels)) / len(drawn)
        others = labels != label
        np.testing.assert_allclose(shares, others / others.sum(), atol=0.01)


def test_gradients_are_those_of_the_loss_although_the_memory_changes() -> None:
    student, teacher, samples = batch(0, 3, 12)
    leaves = (student.requires_grad_(), teacher.requires_grad_())
    memory, _ = memory_of(0, 12, 3, 6)
    memory.log_normaliser.fill_(3.0)  # the estimate of the first batch is a constant to the gradient
    memory = memory.double().eval()
    assert torch.autograd.gradcheck(lambda s, t: memory(s, t, samples), leaves)
    expected = torch.autograd.grad(memory(*leaves, samples), leaves)
    found = torch.autograd.grad(memory.train()(*leaves, samples), leaves)
    torch.testing.assert_close(found, expected)


def test_nothing_is_remembered_out_of_training() -> None:
    memory, _ = memory_of(0, 9, 3, 4)
    before = {key: value.clone() for key, value in memory.state_dict().items()}
    memory.eval()(*batch(0, 3, 9))
    for key, value in memory.state_dict().items():
        assert torch.equal(value.nan_to_num(), before[key].nan_to_num())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_extreme_embeddings_stay_finite_in_autocast(dtype: torch.dtype) -> None:
    memory, _ = memory_of(0, 9, 2, 20)
    student, teacher, samples = batch(0, 4, 9)
    leaf = (student * 1e4).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        for _ in range(3):
            loss = memory(leaf, (teacher * 1e4).to(dtype), samples)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


def test_restored_state_continues_with_the_same_losses() -> None:
    straight, _ = memory_of(0, 12, 3, 6)
    resumed, _ = memory_of(0, 12, 3, 6)
    losses = [straight(*batch(step, 4, 12, epoch=step)).item() for step in range(4)]
    half, _ = memory_of(0, 12, 3, 6)
    for step in range(2):
        half(*batch(step, 4, 12, epoch=step))
    resumed.load_state_dict(half.state_dict())
    assert [resumed(*batch(step, 4, 12, epoch=step)).item() for step in (2, 3)] == losses[2:]


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match=r"distill\.feature\.bank: all training images are of one class"):
        ContrastMemory(TrainingSplit(np.full(5, 2), 0), WIDTH, 4, TEMPERATURE)
