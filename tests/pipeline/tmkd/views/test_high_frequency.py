import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.tmkd.views.high_frequency import high_frequency_view, high_pass, low_pass
from pipeline.tmkd.views.settings import HighFrequencyView
from tests.pipeline.tmkd.views.images import random_images, sizes


def reference_high_pass(images: np.ndarray, cutoff: float) -> np.ndarray:
    height, width = images.shape[-2:]
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]) / 0.5
    return np.fft.ifft2(np.fft.fft2(images) * (frequencies > cutoff)).real


# Away from the radius of any frequency that sizes up to 17 have.
cutoffs = st.sampled_from([0.0, 0.0731, 0.2617, 0.5077, 0.9213, 1.1137])


@given(seed=st.integers(0, 10_000), size=st.tuples(st.integers(1, 3), *[st.integers(1, 17)] * 2), cutoff=cutoffs)
@settings(deadline=None, max_examples=40)
def test_high_pass_equals_the_formula_at_odd_and_oblong_sizes(
    seed: int, size: tuple[int, int, int], cutoff: float
) -> None:
    images = random_images(seed, size)
    expected = reference_high_pass(images.double().numpy(), cutoff)
    np.testing.assert_allclose(high_pass(images, cutoff, "fft").numpy(), expected, atol=1e-5)
    if cutoff > 1:  # more than a recipe allows
        return
    enhanced = np.clip(images.double().numpy() + 0.7 * expected, 0, 1)
    found = high_frequency_view(images, HighFrequencyView(cutoff=cutoff, strength=0.7)).numpy()
    np.testing.assert_allclose(found, enhanced, atol=1e-5)
    replaced = high_frequency_view(images, HighFrequencyView(cutoff=cutoff, mode="replace")).numpy()
    np.testing.assert_allclose(replaced, np.clip(0.5 + expected, 0, 1), atol=1e-5)


@given(
    seed=st.integers(0, 10_000),
    size=sizes,
    cutoff=st.floats(0, 1.5),
    kind=st.sampled_from(["fft", "gaussian"]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
@settings(deadline=None, max_examples=60)
def test_high_and_low_frequencies_add_up(
    seed: int, size: tuple[int, int, int], cutoff: float, kind: str, dtype: torch.dtype
) -> None:
    images = random_images(seed, size, dtype)
    total = high_pass(images, cutoff, kind) + low_pass(images, cutoff, kind)
    torch.testing.assert_close(total, images.to(total.dtype), atol=1e-5, rtol=0)


def test_the_cutoff_is_a_fraction_of_nyquist() -> None:
    column = torch.arange(64)
    for cycles, above in ((7, False), (8, False), (9, True)):  # 8 cycles in 64 pixels are a quarter of Nyquist
        wave = 0.5 + 0.3 * torch.sin(2 * torch.pi * cycles * column / 64)
        images = wave.expand(1, 3, 64, 64)
        kept = high_pass(images, 0.25, "fft")
        expected = images - 0.5 if above else torch.zeros_like(images)
        torch.testing.assert_close(kept, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(low_pass(images, 0.25, "fft"), images - expected, atol=1e-5, rtol=0)


@given(seed=st.integers(0, 10_000), size=sizes, cutoff=st.sampled_from([0.0, 0.05, 0.3, 0.8]))
@settings(deadline=None, max_examples=25)
def test_gaussian_reaches_four_deviations_or_to_the_border(
    seed: int, size: tuple[int, int, int], cutoff: float
) -> None:
    images = random_images(seed, size, torch.float64)
    sigma = np.sqrt(np.log(2) / 2) / (
        np.pi * max(cutoff, 1e-6) / 2
    )  # a transfer exp(-2·(pi·sigma·f)²) of ½ at the cutoff
    expected = images.numpy()
    for axis in (2, 3):
        reach = min(int(np.ceil(4 * sigma)), expected.shape[axis] - 1)
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        margins = [(reach, reach) if each == axis else (0, 0) for each in range(4)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(expected, margins, "reflect"), len(taps), axis=axis)
        expected = windows @ (taps / taps.sum())
    np.testing.assert_allclose(low_pass(images, cutoff, "gaussian").numpy(), expected, atol=1e-12)


def test_frequencies_of_float64_images_are_told_from_the_cutoff_in_float64() -> None:
    wave = torch.cos(
        2 * torch.pi * torch.arange(10, dtype=torch.float64) / 10
    )  # a fifth of Nyquist, which fp32 has not
    images = wave.expand(1, 3, 10, 10)
    for each in (images, images.mT):
        torch.testing.assert_close(low_pass(each, 0.2, "fft"), each)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    for mode in ("enhance", "replace"):
        assert high_frequency_view(random_images(0, (2, 5, 6), dtype), HighFrequencyView(mode=mode)).dtype == dtype


@pytest.mark.parametrize("filter", ["fft", "gaussian"])
def test_frequencies_stay_on_the_device_of_the_images(filter: str) -> None:
    with FakeTensorMode():  # a GPU of which nothing is computed, and which refuses operands of the CPU
        images = torch.empty(2, 3, 8, 8, device="cuda")
        assert {each(images, 0.3, filter).device.type for each in (low_pass, high_pass)} == {"cuda"}


def test_the_gaussian_halves_the_cutoff_frequency() -> None:
    column = torch.arange(256, dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * column / 8)  # a quarter of Nyquist
    images = wave.expand(1, 3, 40, 256)
    middle = low_pass(images, 0.25, "gaussian")[..., 20, 64:192]
    torch.testing.assert_close(middle, 0.5 * images[..., 20, 64:192], atol=1e-3, rtol=0)
    flat = torch.full((1, 3, 9, 12), 0.3)
    assert high_pass(flat, 0.25, "gaussian").abs().max() < 1e-6


@given(seed=st.integers(0, 10_000), size=sizes)
@settings(deadline=None, max_examples=20)
def test_strength_0_gives_the_image(seed: int, size: tuple[int, int, int]) -> None:
    images = random_images(seed, size)
    assert torch.equal(high_frequency_view(images, HighFrequencyView(strength=0.0)), images)


@pytest.mark.parametrize("filter", ["fft", "gaussian"])
def test_high_frequency_view_is_differentiable(filter: str) -> None:
    images = (0.3 + 0.3 * random_images(5, (1, 5, 4), torch.float64)).requires_grad_()
    view = HighFrequencyView(cutoff=0.4, strength=0.2, filter=filter)
    assert torch.autograd.gradcheck(lambda x: high_frequency_view(x, view), images)
