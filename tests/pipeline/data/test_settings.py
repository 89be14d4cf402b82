import pytest
from pydantic import ValidationError

from pipeline.data.settings import AugmentSettings, DataSettings


@pytest.mark.parametrize(
    ("size", "resize", "expected"), [(224, None, 256), (96, None, 110), (95, None, 95), (32, 40, 40)]
)
def test_resize_is_given_or_follows_from_the_image_size(size: int, resize: int | None, expected: int) -> None:
    assert DataSettings(image_size=size, resize=resize).resize_to == expected


def test_resize_below_the_crop_and_unordered_scales_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least @image_size"):
        DataSettings(image_size=64, resize=48)
    with pytest.raises(ValidationError, match="smaller share first"):
        AugmentSettings(scale=[0.9, 0.1])
