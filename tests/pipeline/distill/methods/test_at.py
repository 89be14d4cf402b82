import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distill.methods.at import AttentionTransfer, attention_loss
from pipeline.models.outputs import NetworkShape
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of
from tests.pipeline.distill.reference import pool

SETTINGS = loss_settings(feature={"weight": 500.0, "pool": 2})
sides = st.tuples(st.integers(2, 5), st.integers(2, 5))


def attention(maps: np.ndarray, side: int) -> np.ndarray:
    energies = (pool(maps, side, side) ** 2).sum(axis=1).reshape(len(maps), -1)
    return energies / np.sqrt((energies**2).sum(axis=1, keepdims=True))


@given(seed=st.integers(0, 1000), images=st.integers(1, 4), ours=sides, theirs=sides, side=st.integers(2, 4))
@settings(deadline=None, max_examples=25)
def test_it_is_the_squared_error_of_normalised_channel_energies(
    seed: int, images: int, ours: tuple[int, int], theirs: tuple[int, int], side: int
) -> None:
    student = network_output(seed, images, 3, 4, ours, dtype=torch.float64)
    teacher = network_output(seed + 1, images, 3, 7, theirs, dtype=torch.float64)
    settings = loss_settings(feature={"weight": 500.0, "pool": side})
    losses = AttentionTransfer(settings, shape_of(student), shape_of(teacher))(
        student, teacher, labels_of(seed, images, 3), 0.5
    )
    assert student.feature_map is not None and teacher.feature_map is not None
    pair = attention(student.feature_map.numpy(), side), attention(teacher.feature_map.numpy(), side)
    assert list(losses) == ["feature"]
    assert losses["feature"].item() == pytest.approx(250 * ((pair[0] - pair[1]) ** 2).mean(), rel=1e-9)


def test_it_is_torchdistills_loss_of_one_pair() -> None:
    theirs = pytest.importorskip("torchdistill.losses.mid_level")
    maps = [torch.randn(5, channels, 4, 4, generator=torch.Generator().manual_seed(channels)) for channels in (6, 9)]
    pair = {name: {"io": "output", "path": "map"} for name in ("student", "teacher")}
    outputs = [{"map": {"output": feature_map}} for feature_map in maps]
    expected = theirs.ATLoss({"last": pair}, mode="code")(*outputs).item()
    assert attention_loss(*maps, pool=4).item() == pytest.approx(expected, rel=1e-5)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), images=st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_scale_sign_and_order_of_channels_do_not_matter(seed: int, scale: float, images: int) -> None:
    maps = torch.randn(images, 6, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert attention_loss(maps, -scale * maps.flip(1), 4).item() == pytest.approx(0, abs=1e-12)


def test_it_looks_at_places_rather_than_at_channels() -> None:
    left, right = torch.zeros(1, 3, 2, 2), torch.zeros(1, 5, 2, 2)
    left[:, 1, 0, 0] = 4.0
    right[:, 2, 1, 1] = 0.5
    assert attention_loss(left, right, 2).item() == pytest.approx(2 / 4)  # unit vectors at right angles, four places


def test_a_map_of_zeros_is_finite_and_has_a_gradient() -> None:
    student = torch.zeros(2, 3, 2, 2, requires_grad=True)
    attention_loss(student, torch.ones(2, 3, 2, 2), 2).backward()
    assert student.grad is not None and student.grad.isfinite().all()


def test_nets_that_look_at_one_place_are_refused() -> None:
    several = shape_of(network_output(0, 2, 3, 4))
    for size in (None, (1, 1)):
        single = NetworkShape(3, 4, size, has_cam=False)
        with pytest.raises(
            UsageError, match=r"^distill: at compares where two nets look, and the student has no last"
        ) as caught:
            AttentionTransfer(SETTINGS, single, several)
        assert caught.value.remedy is not None and "rkd" in caught.value.remedy
    with pytest.raises(UsageError, match=r"^distill.method: at needs a visual teacher"):
        AttentionTransfer(SETTINGS, several, None)
    with pytest.raises(UsageError, match=r"distill\.feature\.pool: .* pooled to one pixel"):
        AttentionTransfer(loss_settings(feature={"weight": 1.0, "pool": 1}), several, several)
    off = loss_settings(ce={"weight": 1.0}, feature={"weight": 0.0, "pool": 1})
    AttentionTransfer(off, several, dataclasses.replace(several, has_cam=False))
