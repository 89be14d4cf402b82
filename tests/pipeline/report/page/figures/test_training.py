import pytest

pytest.importorskip("matplotlib")

from pipeline.report.page.figures.training import curves, time_by_part
from tests.pipeline.report.page.figures.reading import texts


def epochs(**values: list[float]) -> list[dict[str, float]]:
    return [{"epoch": n + 1, **{key: each[n] for key, each in values.items()}} for n in range(3)]


def test_parts_of_the_loss_and_all_trainings_are_named() -> None:
    student = epochs(
        loss=[3.0, 2.0, 1.0], loss_ce=[1.0, 1, 1], loss_logits=[2.0, 1, 0], validation_top1=[0.1, 0.2, 0.3]
    )
    found = texts(curves({"student": student, "base": epochs(validation_top1=[0.2, 0.2, 0.2])}, "student", 3))
    assert {"total", "ce", "logits", "student", "base", "loss of the student"} <= set(found)


def test_training_with_one_loss_has_no_parts() -> None:
    found = texts(curves({"student": epochs(loss=[2.0, 1, 1], loss_ce=[2.0, 1, 1])}, "student", None))
    assert "ce" not in found


def test_parts_that_take_no_time_are_left_out() -> None:
    found = texts(time_by_part({"student": {"forward": 2.0, "clip": 0.0}, "teacher": {"backward": 1.0}}))
    assert {"forward", "backward", "student", "teacher"} <= set(found) and "clip" not in found


def test_legend_of_many_trainings_names_all_of_them() -> None:
    epochs = [{"epoch": 1, "loss": 2.0, "validation_top1": 0.1}, {"epoch": 2, "loss": 1.0, "validation_top1": 0.2}]
    trainings = {"student": epochs} | {f"race/{number}": epochs for number in range(13)}
    found = texts(curves(trainings, "student", 2))
    assert set(trainings) <= set(found)
