import pytest

from exporters.core.errors import UsageError
from pipeline.distill.methods.cat_kd import ClassAttentionTransfer
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of

SETTINGS = loss_settings(ce={"weight": 1.0}, feature={"weight": 40.0})


def test_it_needs_class_activation_maps_of_both() -> None:
    shape = shape_of(network_output(0, 2, 3, 4))
    without = shape_of(network_output(0, 2, 3, 4), has_cam=False)
    for student, teacher in ((without, shape), (shape, without)):
        with pytest.raises(UsageError, match=r"^distill: cat_kd compares class activation maps"):
            ClassAttentionTransfer(SETTINGS, student, teacher)
    with pytest.raises(UsageError, match=r"^distill.method: cat_kd needs a visual teacher"):
        ClassAttentionTransfer(SETTINGS, shape, None)


def test_equal_nets_have_no_feature_loss_and_the_ramp_scales_it() -> None:
    student, teacher = network_output(0, 2, 3, 4), network_output(1, 2, 3, 4, size=(1, 1))
    method = ClassAttentionTransfer(SETTINGS, shape_of(student), shape_of(teacher))
    labels = labels_of(0, 2, 3)
    assert method(student, student, labels, 1.0)["feature"].item() == 0
    half, full = (method(student, teacher, labels, ramp)["feature"].item() for ramp in (0.5, 1.0))
    assert full > 0
    assert half == pytest.approx(full / 2)
