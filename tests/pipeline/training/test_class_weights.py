import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.training.class_weights import class_weights

CLASSES = ("red_disc", "green_square", "blue_bar")


def test_none_gives_no_weights():
    assert class_weights("none", np.array([0, 1, 2]), CLASSES, "train") is None


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(1, 40), min_size=3, max_size=3))
def test_balanced_classes_have_equal_shares_and_images_a_mean_weight_of_1(counts: list[int]):
    labels = np.repeat(np.arange(3), counts)
    weights = class_weights("balanced", labels, CLASSES, "train")
    assert weights is not None
    shares = np.bincount(labels, weights=np.array(weights)[labels])
    np.testing.assert_allclose(shares, sum(counts) / 3)
    assert np.array(weights)[labels].mean() == pytest.approx(1)


def test_a_class_without_images_has_a_finite_weight():
    weights = class_weights("balanced", np.array([0, 0, 1]), CLASSES, "train")
    assert weights == pytest.approx((0.5, 1.0, 1.0))


def test_weights_by_name_are_in_the_order_of_the_classes():
    assert class_weights({"blue_bar": 3, "red_disc": 0.5}, np.array([0]), CLASSES, "train") == (0.5, 1.0, 3.0)
    assert class_weights({}, np.array([0]), CLASSES, "train") == (1.0, 1.0, 1.0)


def test_unknown_class_is_named_with_the_nearest_one():
    with pytest.raises(UsageError, match=r"train\.class_weights: 'red_disk' is no class") as caught:
        class_weights({"red_disk": 2.0}, np.array([0]), CLASSES, "train")
    assert caught.value.remedy == "Did you mean red_disc?"
    with pytest.raises(UsageError) as caught:
        class_weights({"zzz": 2.0}, np.array([0]), CLASSES, "train")
    assert caught.value.remedy == "Its classes: red_disc, green_square, blue_bar."


def test_folder_names_stand_for_their_classes():
    assert class_weights({"wood_duck": 2.0, "teal": 3.0}, np.array([0]), ("teal", "wood duck"), "train") == (3.0, 2.0)
