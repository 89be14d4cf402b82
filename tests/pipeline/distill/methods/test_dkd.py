import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distill.methods.dkd import DecoupledDistillation
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of

SETTINGS = loss_settings(ce={"weight": 1.0}, logits={"weight": 1.0, "temperature": 4.0})


def test_two_classes_are_refused() -> None:
    shape = shape_of(network_output(0, 2, 2, 4))
    with pytest.raises(UsageError, match="dkd is not defined for 2 classes") as caught:
        DecoupledDistillation(SETTINGS, shape, shape)
    assert caught.value.exit_code == 2


@given(
    seed=st.integers(0, 1000),
    images=st.integers(1, 5),
    classes=st.integers(3, 8),
    target=st.floats(0, 4),
    non_target=st.floats(0, 10),
    temperature=st.floats(0.5, 8),
)
@settings(deadline=None, max_examples=30)
def test_it_is_the_weighted_sum_of_both_parts(
    seed: int, images: int, classes: int, target: float, non_target: float, temperature: float
) -> None:
    student, teacher = (network_output(seed + i, images, classes, 4, dtype=torch.float64) for i in range(2))
    labels = labels_of(seed, images, classes)
    weights = {"weight": 2.0, "temperature": temperature, "target_weight": target, "non_target_weight": non_target}
    values = loss_settings(logits=weights)
    losses = DecoupledDistillation(values, shape_of(student), shape_of(teacher))(student, teacher, labels, 1.0)
    p_s, p_t = (np.exp(output.logits.numpy() / temperature) for output in (student, teacher))
    expected = 0.0
    for s, t, label in zip(p_s / p_s.sum(1, keepdims=True), p_t / p_t.sum(1, keepdims=True), labels, strict=True):
        rest = np.arange(classes) != int(label)
        s_pair, t_pair = (np.array([p[~rest].sum(), p[rest].sum()]) for p in (s, t))
        s_rest, t_rest = (p[rest] / p[rest].sum() for p in (s, t))
        expected += target * (t_pair * np.log(t_pair / s_pair)).sum()
        expected += non_target * (t_rest * np.log(t_rest / s_rest)).sum()
    assert losses["logits"].item() == pytest.approx(2 * temperature**2 * expected / images, rel=1e-6, abs=1e-9)


def test_three_classes_are_enough_and_the_settings_are_kept() -> None:
    shape = shape_of(network_output(0, 2, 3, 4))
    assert DecoupledDistillation(SETTINGS, shape, None).settings is SETTINGS


def test_loss_is_warmed_up() -> None:
    student, teacher = network_output(0, 3, 4, 4), network_output(1, 3, 4, 4)
    method = DecoupledDistillation(SETTINGS, shape_of(student), shape_of(teacher))
    labels = labels_of(0, 3, 4)
    full, start = method(student, teacher, labels, 1.0), method(student, teacher, labels, 0.0)
    assert start["logits"].item() == 0 < full["logits"].item()
    assert torch.equal(start["ce"], full["ce"])
