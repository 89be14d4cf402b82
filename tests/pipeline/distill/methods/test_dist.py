import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.distill.methods.dist import CorrelationDistillation, correlation_losses
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of


def probabilities(logits: torch.Tensor, temperature: float) -> np.ndarray:
    z = np.exp(logits.numpy() / temperature)
    return np.asarray(z / z.sum(axis=1, keepdims=True))


@given(
    seed=st.integers(0, 1000), images=st.integers(2, 5), classes=st.integers(3, 6), temperature=st.sampled_from([1, 4])
)
@settings(deadline=None, max_examples=25)
def test_it_is_one_minus_pearsons_correlation_of_rows_and_columns(
    seed: int, images: int, classes: int, temperature: float
) -> None:
    student = network_output(seed, images, classes, 4, dtype=torch.float64)
    teacher = network_output(seed + 1, images, classes, 6, dtype=torch.float64)
    ours, theirs = (probabilities(output.logits, temperature) for output in (student, teacher))
    rows = [1 - np.corrcoef(ours[i], theirs[i])[0, 1] for i in range(images)]
    columns = [1 - np.corrcoef(ours[:, k], theirs[:, k])[0, 1] for k in range(classes)]
    settings = loss_settings(logits={"weight": 2.0, "temperature": temperature})
    losses = CorrelationDistillation(settings, shape_of(student), shape_of(teacher))(
        student, teacher, labels_of(seed, images, classes), 0.5
    )
    assert list(losses) == ["logits"]
    expected = 2 * temperature**2 * (np.mean(rows) + np.mean(columns))
    assert losses["logits"].item() == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_it_is_torchdistills_loss() -> None:
    theirs = pytest.importorskip("torchdistill.losses.mid_level")
    student, teacher = network_output(0, 5, 4, 3), network_output(1, 5, 4, 6)
    outputs = [{"net": {"output": each.logits}} for each in (student, teacher)]
    expected = theirs.DISTLoss("net", "output", "net", "output", beta=1.0, gamma=1.0, tau=4.0)(*outputs).item()
    settings = loss_settings(logits={"weight": 1.0, "temperature": 4.0})
    losses = CorrelationDistillation(settings, shape_of(student), shape_of(teacher))(
        student, teacher, labels_of(0, 5, 4), 1.0
    )
    assert losses["logits"].item() == pytest.approx(expected, rel=1e-5)


@given(seed=st.integers(0, 1000), images=st.integers(2, 5), classes=st.integers(3, 6), share=st.floats(0.1, 0.9))
@settings(deadline=None, max_examples=20)
def test_probabilities_that_are_only_less_sure_lose_nothing(seed: int, images: int, classes: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(images, classes, generator=generator, dtype=torch.float64).softmax(dim=1)
    student = share * teacher + (1 - share) / classes
    inter, intra = correlation_losses(student.log(), teacher.log(), 1.0)
    assert inter.item() == pytest.approx(0, abs=1e-6) and intra.item() == pytest.approx(0, abs=1e-6)


def test_improbable_classes_count_as_much_as_probable_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(6, 4, generator=generator)
    rare = torch.tensor([0.0, 0.0, 0.0, -60.0])  # exp(-60) has no square in fp32
    _, intra = correlation_losses(teacher + rare, teacher + rare, 1.0)
    assert intra.item() == pytest.approx(0, abs=1e-5)


def test_what_varies_by_a_ten_thousandth_of_its_size_is_noise_and_by_more_is_not() -> None:
    teacher = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64).log()
    for spread, expected in ((0.9e-4, 1.0), (1.1e-4, 0.0)):
        # Of probabilities 1, 1 - d and 1 - 2d, up to their sum, the centred ones have a length of √2·d.
        step = spread / 2**0.5
        student = torch.tensor([[1 - 2 * step, 1 - step, 1.0]], dtype=torch.float64).log()
        assert correlation_losses(student, teacher, 1.0)[0].item() == pytest.approx(expected, abs=1e-6)


def test_probabilities_of_zero_are_finite() -> None:
    student = torch.tensor([[0.0, -1e4, 1.0], [1.0, -1e4, 0.0]], requires_grad=True)
    inter, intra = correlation_losses(student, student.detach().flip(1), 1.0)
    (inter + intra).backward()
    assert inter.isfinite() and intra.isfinite()
    assert student.grad is not None and student.grad.isfinite().all()


def test_what_does_not_vary_counts_as_uncorrelated_and_has_no_gradient() -> None:
    student = torch.zeros(1, 4, requires_grad=True)
    inter, intra = correlation_losses(student, torch.tensor([[1.0, 2.0, 3.0, 5.0]]), 1.0)
    assert (inter.item(), intra.item()) == (1, 1)
    (inter + intra).backward()
    assert student.grad is not None and student.grad.isfinite().all()
