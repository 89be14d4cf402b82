from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distill.methods.rkd import RelationalDistillation, angle_loss, distance_loss
from pipeline.models.outputs import NetworkShape
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of


def huber(difference: float) -> float:
    return difference**2 / 2 if abs(difference) <= 1 else abs(difference) - 0.5


def distances(features: np.ndarray) -> dict[tuple[int, ...], float]:
    pairs = list(permutations(range(len(features)), 2))
    lengths = {(i, j): float(np.linalg.norm(features[i] - features[j])) for i, j in pairs}
    mean = sum(lengths.values()) / len(lengths)
    return {pair: length / mean for pair, length in lengths.items()}


def cosines(features: np.ndarray) -> dict[tuple[int, ...], float]:
    found = {}
    for i, j, k in permutations(range(len(features)), 3):
        to_i, to_k = features[i] - features[j], features[k] - features[j]
        found[i, j, k] = float(to_i @ to_k / np.linalg.norm(to_i) / np.linalg.norm(to_k))
    return found


def mean_huber(ours: dict[tuple[int, ...], float], theirs: dict[tuple[int, ...], float]) -> float:
    return sum(huber(ours[key] - theirs[key]) for key in ours) / len(ours)


@given(seed=st.integers(0, 1000), images=st.integers(3, 6))
@settings(deadline=None, max_examples=25)
def test_it_is_the_huber_loss_of_distances_and_angles(seed: int, images: int) -> None:
    student = network_output(seed, images, 3, 2, dtype=torch.float64)
    teacher = network_output(seed + 1, images, 3, 5, dtype=torch.float64)
    ours, theirs = student.pooled.numpy(), teacher.pooled.numpy()
    expected = mean_huber(distances(ours), distances(theirs)) + 2 * mean_huber(cosines(ours), cosines(theirs))
    method = RelationalDistillation(loss_settings(feature={"weight": 25.0}), shape_of(student), shape_of(teacher))
    losses = method(student, teacher, labels_of(seed, images, 3), 0.4)
    assert list(losses) == ["feature"]
    assert losses["feature"].item() == pytest.approx(10 * expected, rel=1e-9)


def test_it_is_torchdistills_loss_but_for_pairs_of_an_image_with_itself() -> None:
    theirs = pytest.importorskip("torchdistill.losses.mid_level")
    images = 6
    features = [torch.randn(images, width, generator=torch.Generator().manual_seed(width)) for width in (4, 7)]
    outputs = [{"pooled": {"output": each}} for each in features]
    distance = theirs.RKDLoss("pooled", "pooled", 1, 0, "mean")(*outputs).item() * images / (images - 1)
    angle = theirs.RKDLoss("pooled", "pooled", 0, 1, "mean")(*outputs).item()
    angle *= images**2 / ((images - 1) * (images - 2))
    assert distance_loss(*features).item() == pytest.approx(distance, rel=1e-4)
    assert angle_loss(*features).item() == pytest.approx(angle, rel=1e-4)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), images=st.integers(1, 6))
@settings(deadline=None, max_examples=20)
def test_scale_shift_and_rotation_of_the_features_do_not_matter(seed: int, scale: float, images: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(images, 4, generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))
    moved = scale * features @ rotation + torch.randn(4, generator=generator, dtype=torch.float64)
    assert distance_loss(moved, features).item() == pytest.approx(0, abs=1e-12)
    assert angle_loss(moved, features).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("images", [1, 2, 4])
def test_equal_features_and_small_batches_are_finite_and_have_a_gradient(images: int) -> None:
    student = torch.ones(images, 3, requires_grad=True)
    teacher = torch.randn(images, 3, generator=torch.Generator().manual_seed(0))
    total = distance_loss(student, teacher) + angle_loss(student, teacher)
    total.backward()
    assert total.isfinite() and student.grad is not None and student.grad.isfinite().all()
    assert images > 2 or total.item() == 0  # one distance is its own mean, and no three images form an angle


def test_nets_without_pooled_features_are_refused() -> None:
    shape = NetworkShape(3, 3, None, has_cam=False, has_classifier=False)
    with pytest.raises(
        UsageError, match=r"^distill: rkd needs pooled features, and the student and the teacher have none"
    ):
        RelationalDistillation(loss_settings(feature={"weight": 1.0}), shape, shape)
    with pytest.raises(UsageError, match=r"^distill.method: rkd needs a visual teacher"):
        RelationalDistillation(loss_settings(feature={"weight": 1.0}), shape, None)


def test_differences_above_one_count_linearly() -> None:
    student, teacher = torch.tensor([[0.0], [0.0], [0.0], [9.0]]), torch.tensor([[0.0], [9.0], [9.0], [9.0]])
    # Distances over their mean: 0 or 2 in both, equal among two of six pairs.
    assert distance_loss(student, teacher).item() == pytest.approx(4 * (2 - 0.5) / 6)


def test_batch_too_small_for_a_relation_loses_nothing_whatever_its_features() -> None:
    for features in (torch.zeros(1, 3), torch.full((1, 3), 1e30)):
        assert distance_loss(features, features + 1).item() == angle_loss(features, features + 1).item() == 0
