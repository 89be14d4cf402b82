import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pipeline.report.page.figures.classes import class_bars, confusion_matrix
from tests.pipeline.report.page.figures.reading import texts


def test_classes_of_a_matrix_stand_in_the_given_order() -> None:
    figure = confusion_matrix(np.diag([3, 1, 2]), np.array([2, 0, 1]), ["ant", "bee", "cat $1$"])
    found = texts(figure)
    assert found[:3] == ["cat $1$", "ant", "bee"]


def test_matrix_of_many_classes_has_no_names() -> None:
    names = [f"class {n}" for n in range(50)]
    assert not set(names) & set(texts(confusion_matrix(np.eye(50, dtype=int), np.arange(50), names)))


def test_worst_classes_come_first_and_those_without_images_not_at_all() -> None:
    found = texts(class_bars([0.9, None, 0.1], np.array([10, 0, 10]), ["good", "nothing", "poor"]))
    assert [name for name in found if name in ("good", "nothing", "poor")] == ["poor", "good"]
