import pytest

pytest.importorskip("matplotlib")

from pipeline.comparison.page.figures.curves import arm_curves, by_epoch, over_seeds
from tests.pipeline.report.page.figures.reading import texts


def test_line_is_the_mean_and_the_area_goes_from_least_to_largest() -> None:
    epochs, mean, low, high = over_seeds([{1: 0.2, 2: 0.4}, {1: 0.4, 2: 0.8, 3: 0.9}])
    assert epochs == [1, 2, 3]
    assert mean == pytest.approx([0.3, 0.6, 0.9])
    assert low == pytest.approx([0.2, 0.4, 0.9]) and high == pytest.approx([0.4, 0.8, 0.9])


def test_epochs_without_the_figure_are_left_out() -> None:
    lines = [{"epoch": 1, "validation_top1": 0.5}, {"epoch": 2}, {"epoch": 3, "validation_top1": None}]
    assert by_epoch(lines, "validation_top1", 100) == {1: 50.0}
    assert over_seeds([{}])[0] == []


def test_every_arm_has_its_line_by_name_however_many_there_are() -> None:
    epochs = [{"epoch": number, "validation_top1": 0.1 * number, "loss": 1.0} for number in (1, 2, 3)]
    arms = {f"arm ${number}$": [epochs, epochs[:2]] for number in range(12)}
    found = texts(arm_curves(arms))
    assert [text for text in found if text.startswith("arm")] == list(arms)
    assert {"validation accuracy", "loss of training"} <= set(found)
