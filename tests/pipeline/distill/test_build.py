import pytest
import torch

from exporters.core.errors import UsageError
from pipeline.distill.build import build_method
from pipeline.distill.registry import METHODS, load_method
from pipeline.distill.settings import DistillSettings
from pipeline.models.outputs import NetworkShape

STUDENT = NetworkShape(classes=5, channels=8, map_size=(2, 2), has_cam=True, stages=((4, 4, 4), (8, 2, 2)))
TEACHER = NetworkShape(classes=5, channels=16, map_size=(4, 4), has_cam=True, stages=((8, 8, 8), (16, 4, 4)))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_built_by_name(name: str) -> None:
    method = build_method(DistillSettings(method=name), STUDENT, TEACHER, torch.randn(5, 12))
    assert type(method) is load_method(name)


def test_tmkd_holds_its_base() -> None:
    for base in ("kd", "cat_kd"):
        method = build_method(DistillSettings(method="tmkd", base=base), STUDENT, TEACHER, torch.randn(5, 12))
        assert type(method.base) is load_method(base)


def test_a_teacher_of_other_classes_is_refused_but_not_by_ce() -> None:
    imagenet = NetworkShape(classes=1000, channels=16, map_size=(4, 4), has_cam=True)
    with pytest.raises(UsageError, match="has 1000 classes, the student 5"):
        build_method(DistillSettings(method="kd"), STUDENT, imagenet, None)
    build_method(DistillSettings(method="ce"), STUDENT, imagenet, None)


def test_initial_weights_follow_the_global_seed() -> None:
    built = []
    for _ in range(2):
        torch.manual_seed(3)
        built.append(build_method(DistillSettings(method="tmkd"), STUDENT, TEACHER, torch.zeros(5, 12)).state_dict())
    assert all(torch.equal(built[0][key], built[1][key]) for key in built[0])
