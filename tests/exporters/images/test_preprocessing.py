from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporters.core.errors import UsageError
from exporters.images.decoding import UnreadableImageError
from exporters.images.preprocessing import Geometry, Preprocessing

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


def preprocessing(**changes: Any) -> Preprocessing:
    return Preprocessing(**{"size": 24, "resize": 32, "mean": MEAN, "std": STD, **changes})


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(0, 20), st.booleans())
def test_pixels_equal_those_of_torchvision(width: int, height: int, size: int, margin: int, cubic: bool) -> None:
    transforms = pytest.importorskip("torchvision.transforms.v2")
    mode = "bicubic" if cubic else "bilinear"
    original = image = Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))
    resize = transforms.Resize(size + margin, interpolation=transforms.InterpolationMode(mode))
    whole = resize(image)
    for shape in ((height, whole.width), (whole.height, whole.width)):  # Pillow 13 turns tall images' order round
        image = transforms.functional.resize(image, list(shape), resize.interpolation)
    expected = transforms.CenterCrop(size)(image)
    found = preprocessing(size=size, resize=size + margin, interpolation=mode).apply(original)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_an_image_of_the_right_size_is_left_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(preprocessing(size=32).apply(Image.fromarray(pixels)), pixels)


def test_json_round_trips_and_names_every_setting() -> None:
    value = preprocessing(interpolation="bicubic").to_json()
    assert Preprocessing.from_json(value) == preprocessing(interpolation="bicubic")
    for key in (
        "size",
        "resize",
        "resize_mode",
        "interpolation",
        "antialias",
        "crop",
        "colour_order",
        "layout",
        "dtype",
    ):
        assert key in value
    assert value["range"] == [0, 255]
    assert value["normalisation"]["mean"] == list(MEAN)


@pytest.mark.parametrize(
    "change",
    [
        {"size": "24"},
        {"size": 0},
        {"size": 64},
        {"colour_order": "BGR"},
        {"unknown": 1},
        {"antialias": False},
        {"interpolation": "nearest"},
        {"normalisation": {"mean": MEAN, "std": STD}},
        {
            "normalisation": {
                "mean": MEAN,
                "std": [0, 1, 1],
                "where": preprocessing().to_json()["normalisation"]["where"],
            }
        },
        {"normalisation": None},
    ],
)
def test_unsupported_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="preprocessing"):
        Preprocessing.from_json({**preprocessing().to_json(), **change})


@pytest.mark.parametrize("value", [None, 3, "x", [], {}])
def test_malformed_descriptions_are_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        Preprocessing.from_json(value)


@pytest.mark.parametrize("change", [{"mean": (0.1, 0.2)}, {"std": (0.1, 0.2, float("nan"))}, {"std": (1, 1, -1)}])
def test_impossible_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        preprocessing(**change)


def test_too_narrow_image_is_refused() -> None:
    with pytest.raises(UnreadableImageError, match="too narrow"):
        preprocessing(size=200, resize=224).apply(Image.new("RGB", (1, 100_000)))


def test_geometry_is_preprocessing_without_its_normalization() -> None:
    whole = preprocessing(interpolation="bicubic")
    assert whole.geometry == Geometry(24, 32, "bicubic")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 57, 3), dtype=np.uint8))
    np.testing.assert_array_equal(whole.geometry.apply(image), whole.apply(image))
    with pytest.raises(UsageError, match="size <= resize"):
        Geometry(33, 32)


@pytest.mark.parametrize("change", [{"interpolation": []}, {"interpolation": None}, {"size": "32"}, {"resize": 3.5}])
def test_description_of_odd_types_is_refused(change: dict[str, object]) -> None:
    good = Preprocessing(32, 36, (0.5,) * 3, (0.2,) * 3).to_json()
    with pytest.raises(UsageError, match="whole numbers"):
        Preprocessing.from_json({**good, **change})
    with pytest.raises(UsageError, match="malformed"):
        Preprocessing.from_json({**good, "normalisation": {**good["normalisation"], "mean": [10**400, 0, 0]}})
