import torch

from pipeline.tmkd.views.luma import luma
from tests.pipeline.tmkd.views.images import random_images


def test_green_counts_most_and_white_has_brightness_1() -> None:
    primaries = torch.eye(3)[:, :, None, None]
    torch.testing.assert_close(luma(primaries).flatten(), torch.tensor([0.299, 0.587, 0.114]))
    torch.testing.assert_close(luma(torch.ones(1, 3, 2, 2)), torch.ones(1, 1, 2, 2))


def test_narrow_floats_are_widened_and_float64_is_kept() -> None:
    assert luma(random_images(0, (1, 2, 2), torch.bfloat16)).dtype == torch.float32
    assert luma(random_images(0, (1, 2, 2), torch.float64)).dtype == torch.float64
