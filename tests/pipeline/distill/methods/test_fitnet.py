import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distill.methods.fitnet import HintTraining
from pipeline.models.outputs import NetworkShape
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of
from tests.pipeline.distill.reference import to_one_size

SETTINGS = loss_settings(ce={"weight": 0.0}, feature={"weight": 100.0})
sides = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(seed=st.integers(0, 1000), images=st.integers(1, 3), ours=sides, theirs=sides)
@settings(deadline=None, max_examples=25)
def test_it_is_the_error_of_the_projected_middle_stage(
    seed: int, images: int, ours: tuple[int, int], theirs: tuple[int, int]
) -> None:
    student = network_output(seed, images, 3, 4, ours, dtype=torch.float64)
    teacher = network_output(seed + 1, images, 3, 6, theirs, dtype=torch.float64)
    torch.manual_seed(seed)
    method = HintTraining(SETTINGS, shape_of(student), shape_of(teacher)).double()
    weight, bias = (parameter.detach().numpy() for parameter in (method.projection.weight, method.projection.bias))
    projected = np.einsum("kc,bchw->bkhw", weight[:, :, 0, 0], student.stage_maps[1].numpy())
    projected += bias[:, None, None]
    pair = to_one_size(projected, teacher.stage_maps[1].numpy())
    losses = method(student, teacher, labels_of(seed, images, 3), 0.3)
    assert losses["feature"].item() == pytest.approx(30 * ((pair[0] - pair[1]) ** 2).mean(), rel=1e-9)


def shape(*stages: tuple[int, int, int]) -> NetworkShape:
    return NetworkShape(5, stages[-1][0], stages[-1][1:], has_cam=True, stages=stages)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [  # the deepest belong together; the middle is that of the pairs
        ((1, 2, 3, 4), (10, 20, 30, 40), (2, 20)),
        ((1, 2, 3), (10, 20, 30, 40), (2, 30)),
        ((1, 2, 3, 4), (10, 20, 30), (3, 20)),
        ((1, 2), (10, 20), (1, 10)),
        ((1, 2, 3, 4), (10, 20), (3, 10)),
    ],
)
def test_stages_are_matched_from_the_deepest(
    ours: tuple[int, ...], theirs: tuple[int, ...], expected: tuple[int, int]
) -> None:
    shapes = [
        shape(*((width, 2 ** (8 - index), 2 ** (8 - index)) for index, width in enumerate(widths)))
        for widths in (ours, theirs)
    ]
    projection = HintTraining(SETTINGS, *shapes).projection
    assert (projection.in_channels, projection.out_channels) == expected
    assert projection.kernel_size == (1, 1)


def test_nets_without_stages_are_refused() -> None:
    with_stages = shape((3, 8, 8), (4, 4, 4))
    tokens = NetworkShape(5, 4, None, has_cam=False)
    for student, teacher, named in ((tokens, with_stages, "student"), (with_stages, tokens, "teacher")):
        with pytest.raises(
            UsageError, match=rf"^distill: fitnet compares the maps of stages, and the {named} has none"
        ) as caught:
            HintTraining(SETTINGS, student, teacher)
        assert caught.value.remedy is not None
        assert "kd, dkd, logit_std, dist, mlld, crd, rkd (" in caught.value.remedy
    with pytest.raises(UsageError, match=r"^distill.method: fitnet needs a visual teacher"):
        HintTraining(SETTINGS, with_stages, None)


def test_it_learns_from_the_projection_too() -> None:
    torch.manual_seed(0)
    student, teacher = network_output(0, 4, 3, 4), network_output(1, 4, 3, 6)
    method = HintTraining(SETTINGS, shape_of(student), shape_of(teacher))
    method(student, teacher, labels_of(0, 4, 3), 1.0)["feature"].backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in method.parameters())
