import numpy as np
import pytest

from exporters.core.errors import UsageError
from exporters.runtimes import OnnxRuntime, TorchRuntime
from exporters.runtimes.base import check_images
from tests.exporters.conftest import Exported


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 3, 32, 32), np.uint8),
        np.zeros((1, 33, 32, 3), np.uint8),
        np.zeros((0, 32, 32, 3), np.uint8),
    ],
)
def test_images_of_another_type_or_shape_are_refused(cifar: Exported, images: np.ndarray) -> None:
    for runtime in (TorchRuntime(cifar.student), OnnxRuntime(cifar.data)):
        with pytest.raises(UsageError, match="uint8 images"):
            runtime.predict(images)


def test_size_of_none_is_any_size() -> None:
    check_images(np.zeros((2, 17, 31, 3), np.uint8), None)
    with pytest.raises(UsageError, match=r"need uint8 images \[batch, height, width, 3\]"):
        check_images(np.zeros((2, 17, 31, 1), np.uint8), None)
