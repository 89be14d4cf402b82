"""Numbers in per cent where shares are expected, the reverse, and channels up to 255."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipe.reading.keys import all_paths, number_bounds
from pipeline.recipe.reading.mistakes import validate
from pipeline.recipe.reading.scale import meant_number
from pipeline.yaml_document import KeyPath


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("validate.min_top1", 70, 0.7),
        ("validate.min_top1", 99.9, 0.999),
        ("validate.min_top1", "70%", 0.7),
        ("validate.min_top1", "2.5 %", 0.025),
        ("parity.int8.max_accuracy_drop", 2, 0.02),
        ("data.validation", 20, 0.2),
        ("data.validation", 60, None),  # 0.6 is beyond its bound of 0.5
        ("train.ema", 100, None),  # below 1
        ("validate.min_top1", 1.5, None),
        ("validate.min_top1", 101, None),
        ("validate.min_top1", -70, None),
        ("validate.min_top1", True, None),
        ("validate.min_top1", float("nan"), None),
        ("validate.min_top1", "seventy", None),
        ("train.epochs", "70%", None),
        ("data.image_size", "64px", 64),
        ("train.batch_size", "32 images", 32),
        ("train.lr", "0.5 x", 0.5),
        ("data.image_size", "4096px", None),  # beyond its bound
        ("train.epochs", "2.5 epochs", None),
        ("validate.min_top1", "1 percent", None),  # 0.01 or 1?
        ("data.augment.flip", "1 x", None),
        ("train.batch_size", [32], 32),
        ("train.batch_size", [32, 64], None),
        ("train.batch_size", [True], None),
        ("train.batch_size", [], None),
        ("train.batch_size", [[32]], None),
        ("train.epochs", 0.7, None),
        ("train.epochs", 1e3, 1000),
        ("train.epochs", 1e9, None),  # beyond its bound
        ("train.lr", 1e3, None),
        ("train.lr", 200, None),
        ("export.onnx.calibration.percentile", 0.9999, 99.99),
        ("export.onnx.calibration.percentile", 0.3, None),  # 30 is beyond its bound
        ("train.checkpoint.keep", 0.5, None),  # at most 100, but no per cent
    ],
)
def test_number_on_another_scale_is_recognised(key: str, value: Any, meant: float | None) -> None:
    path = tuple(key.split("."))
    assert path in all_paths()
    assert meant_number(path, value) == meant


def test_pixel_values_are_meant_where_channels_are_beyond_one() -> None:
    assert meant_number(("student", "mean", 0), 255) == 1
    assert meant_number(("student", "std", 2), 51) == 0.2
    assert meant_number(("student", "mean", 0), 256) is None
    assert meant_number(("data", "augment", "scale", 1), 2) is None


SHARES = [path for path in all_paths() if any(each.least >= 0 and each.most <= 1 for each in number_bounds(path))]


@given(st.sampled_from(SHARES), st.floats(0.02, 1))
def test_hint_of_a_share_in_per_cent_is_that_share(path: KeyPath, share: float) -> None:
    meant = meant_number(path, share * 100)
    fits = any(float(f"{share:.10g}") in bounds for bounds in number_bounds(path))
    assert meant == pytest.approx(share, rel=1e-9) if fits and share * 100 >= 2 else meant is None


def test_mistake_says_the_number_that_is_meant() -> None:
    _, (mistake,) = validate({"validate": {"min_top1": 70}})
    assert mistake.message == "expected a number ≥ 0 and ≤ 1 or null, got 70; did you mean 0.7?"
    _, (mistake,) = validate({"export": {"onnx": {"calibration": {"percentile": 0.9999}}}})
    assert mistake.message == "expected a number > 50 and ≤ 100, got 0.9999; did you mean 99.99?"
