"""Against the equations alone: torchdistill divides rows by their L1 norm, the paper by their L2 norm."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distill.methods.sp import SimilarityPreserving, similarity_loss
from pipeline.models.outputs import NetworkShape
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of
from tests.pipeline.distill.reference import pool

sides = st.tuples(st.integers(1, 5), st.integers(1, 5))


def similarities(maps: np.ndarray, side: int) -> np.ndarray:
    pooled = pool(maps, side, side)
    gram = np.array([[(a * b).sum() for b in pooled] for a in pooled])
    return gram / np.sqrt((gram**2).sum(axis=1, keepdims=True))


@given(seed=st.integers(0, 1000), images=st.integers(1, 5), ours=sides, theirs=sides, side=st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_it_is_the_squared_error_of_row_normalised_gram_matrices(
    seed: int, images: int, ours: tuple[int, int], theirs: tuple[int, int], side: int
) -> None:
    student = network_output(seed, images, 3, 4, ours, dtype=torch.float64)
    teacher = network_output(seed + 1, images, 3, 7, theirs, dtype=torch.float64)
    settings = loss_settings(feature={"weight": 3000.0, "pool": side})
    losses = SimilarityPreserving(settings, shape_of(student), shape_of(teacher))(
        student, teacher, labels_of(seed, images, 3), 0.5
    )
    assert student.feature_map is not None and teacher.feature_map is not None
    difference = similarities(student.feature_map.numpy(), side) - similarities(teacher.feature_map.numpy(), side)
    assert list(losses) == ["feature"]
    expected = 1500 * (difference**2).sum() / images**2
    assert losses["feature"].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), images=st.integers(1, 5))
@settings(deadline=None, max_examples=20)
def test_scale_and_rotation_of_the_features_do_not_matter(seed: int, scale: float, images: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(images, 4, 1, 1, generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))
    turned = scale * torch.einsum("dc,bchw->bdhw", rotation, maps)
    assert similarity_loss(maps, turned, 1).item() == pytest.approx(0, abs=1e-12)


def test_images_that_the_teacher_takes_for_alike_are_drawn_together() -> None:
    student = torch.eye(3)[:, :, None, None].requires_grad_()
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[:, :, None, None]
    optimizer = torch.optim.SGD([student], lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        similarity_loss(student, teacher, 1).backward()
        optimizer.step()
    ours = torch.nn.functional.normalize(student.detach().flatten(1), dim=1)
    assert (ours[0] @ ours[1]).item() > 0.9 and abs((ours[0] @ ours[2]).item()) < 0.1


def test_nets_without_a_map_are_refused() -> None:
    several, tokens = shape_of(network_output(0, 2, 3, 4)), NetworkShape(3, 4, None, has_cam=False)
    method = loss_settings(feature={"weight": 1.0})
    for student, teacher, named in ((tokens, several, "student"), (several, tokens, "teacher")):
        with pytest.raises(
            UsageError, match=rf"^distill: sp compares last feature maps, and the {named} has none"
        ) as caught:
            SimilarityPreserving(method, student, teacher)
        assert caught.value.remedy is not None and "mlld, crd, rkd (" in caught.value.remedy
    with pytest.raises(UsageError, match=r"^distill.method: sp needs a visual teacher"):
        SimilarityPreserving(method, several, None)


@pytest.mark.parametrize("processes", [1, 2])
def test_of_several_processes_pooled_maps_are_exchanged(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = network_output(0, 4, 3, 4, (3, 3)), network_output(1, 4, 3, 7, (3, 3))
    exchanged: list[torch.Tensor] = []

    def gathered(own: torch.Tensor) -> torch.Tensor:
        exchanged.append(own)
        return torch.cat([own, own.flip(0)])  # the other process has the same images the other way round

    monkeypatch.setattr("pipeline.distill.methods.sp.process_count", lambda: processes)
    monkeypatch.setattr("pipeline.distill.methods.sp.gathered", gathered)
    method = SimilarityPreserving(
        loss_settings(feature={"weight": 1.0, "pool": 2}), shape_of(student), shape_of(teacher)
    )
    loss = method(student, teacher, labels_of(0, 4, 3), 1.0)["feature"].item()
    assert [tuple(each.shape) for each in exchanged] == ([] if processes == 1 else [(4, 4, 2, 2), (4, 7, 2, 2)])
    assert student.feature_map is not None and teacher.feature_map is not None
    maps = [each.feature_map for each in (student, teacher)]
    whole = maps if processes == 1 else [torch.cat([each, each.flip(0)]) for each in maps]
    difference = similarities(whole[0].numpy(), 2) - similarities(whole[1].numpy(), 2)
    assert loss == pytest.approx((difference**2).mean(), rel=1e-5)
