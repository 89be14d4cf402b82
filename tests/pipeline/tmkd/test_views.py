from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.tmkd.views import Views, edge_map, edge_view, high_frequency_view, high_pass, low_pass

OPERATORS = ("sobel", "scharr", "laplacian")
KERNELS = {
    "sobel": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float64),
    "scharr": np.array([[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]], dtype=np.float64),
}
LAPLACIAN = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=np.float64)

sizes = st.tuples(st.integers(1, 3), st.integers(2, 17), st.integers(2, 17))


def random_images(seed: int, size: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    batch, height, width = size
    return torch.from_numpy(np.random.default_rng(seed).random((batch, 3, height, width))).to(dtype)


def correlate(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    padded = np.pad(image, 1, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return (windows * kernel).sum(axis=(-1, -2))


def reference_edges(images: np.ndarray, operator: str) -> np.ndarray:
    result = []
    for image in images:
        luma = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        if operator == "laplacian":
            magnitude = np.abs(correlate(luma, LAPLACIAN))
        else:
            kernel = KERNELS[operator]
            magnitude = np.hypot(correlate(luma, kernel), correlate(luma, kernel.T))
        result.append(magnitude / max(magnitude.max(), 1e-5))
    return np.stack(result)[:, None]


@pytest.mark.parametrize("operator", OPERATORS)
@given(seed=st.integers(0, 10_000), size=sizes)
@settings(deadline=None, max_examples=15)
def test_edges_equal_the_formula(operator: str, seed: int, size: tuple[int, int, int]) -> None:
    images = random_images(seed, size)
    expected = reference_edges(images.double().numpy(), operator)
    np.testing.assert_allclose(edge_map(images, operator).numpy(), expected, atol=1e-5)
    enhanced = np.clip(images.double().numpy() + 0.4 * expected, 0, 1)
    np.testing.assert_allclose(edge_view(images, 0.4, operator).numpy(), enhanced, atol=1e-5)
    replaced = edge_view(images, 0.4, operator, mode="replace").numpy()
    np.testing.assert_allclose(replaced, np.broadcast_to(expected, images.shape), atol=1e-5)


@given(
    colour=st.tuples(*[st.floats(0, 1, width=32)] * 3),
    size=sizes,
    operator=st.sampled_from(OPERATORS),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
@settings(deadline=None, max_examples=60)
def test_a_constant_image_has_no_edge(
    colour: tuple[float, float, float], size: tuple[int, int, int], operator: str, dtype: torch.dtype
) -> None:
    images = torch.tensor(colour, dtype=dtype)[None, :, None, None].expand(size[0], 3, size[1], size[2])
    assert edge_map(images, operator).abs().max() == 0
    assert torch.equal(edge_view(images, 1.0, operator), images)


def test_each_image_has_its_own_maximum() -> None:
    faint = random_images(0, (1, 8, 8)) * 0.01
    strong = random_images(1, (1, 8, 8))
    together = edge_map(torch.cat([faint, strong]))
    assert together.amax(dim=(1, 2, 3)).tolist() == [1.0, 1.0]
    torch.testing.assert_close(together[:1], edge_map(faint))


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
    np.testing.assert_allclose(high_pass(images, cutoff).numpy(), expected, atol=1e-5)
    enhanced = np.clip(images.double().numpy() + 0.7 * expected, 0, 1)
    np.testing.assert_allclose(high_frequency_view(images, cutoff, 0.7).numpy(), enhanced, atol=1e-5)
    replaced = high_frequency_view(images, cutoff, mode="replace").numpy()
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
    for cycles, above in ((7, False), (9, True)):  # 8 cycles in 64 pixels are a quarter of Nyquist
        wave = 0.5 + 0.3 * torch.sin(2 * torch.pi * cycles * column / 64)
        images = wave.expand(1, 3, 64, 64)
        kept = high_pass(images, 0.25)
        expected = images - 0.5 if above else torch.zeros_like(images)
        torch.testing.assert_close(kept, expected, atol=1e-5, rtol=0)


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
def test_strength_0_gives_rgb(seed: int, size: tuple[int, int, int]) -> None:
    images = random_images(seed, size)
    assert torch.equal(edge_view(images, 0.0), images)
    assert torch.equal(high_frequency_view(images, strength=0.0), images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    images = random_images(3, (2, 13, 16))
    views = Views({"edge": {}, "high_frequency": {}, "soft": {"kind": "high_frequency", "filter": "gaussian"}})
    plain = views(images)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(views(images), plain)
        half = views(images.to(dtype))
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), plain, atol=0.02, rtol=0)


@pytest.mark.parametrize("operator", OPERATORS)
def test_views_are_differentiable(operator: str) -> None:
    # Inside (0, 1), where nothing is clipped, and away from ties of the maximum.
    images = (0.3 + 0.3 * random_images(5, (1, 5, 4), torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: edge_view(x, 0.2, operator), images)
    assert torch.autograd.gradcheck(lambda x: high_frequency_view(x, 0.4, 0.2), images)
    assert torch.autograd.gradcheck(lambda x: high_frequency_view(x, 0.4, 0.2, "gaussian"), images)


def test_a_flat_image_has_a_finite_gradient() -> None:
    images = torch.full((1, 3, 6, 6), 0.4, requires_grad=True)
    edge_view(images).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_views_are_stacked_rgb_first() -> None:
    images = random_images(7, (2, 9, 11))
    views = Views(
        {
            "edge": SimpleNamespace(kind="edge", strength=0.5, operator="scharr", mode="enhance"),
            "texture": {"kind": "high_frequency", "cutoff": 0.4},
        }
    )
    assert views.names == ("rgb", "edge", "texture")
    assert views.kinds == {"rgb": "rgb", "edge": "edge", "texture": "high_frequency"}
    stacked = views(images)
    assert stacked.shape == (3, 2, 3, 9, 11) == (len(views), *images.shape)
    assert torch.equal(stacked[0], images)
    assert torch.equal(stacked[1], edge_view(images, 0.5, "scharr"))
    assert torch.equal(stacked[2], high_frequency_view(images, 0.4))


def test_no_views_are_rgb_alone() -> None:
    images = random_images(8, (2, 5, 5))
    assert Views({}).names == ("rgb",)
    assert torch.equal(Views({})(images), images[None])


@pytest.mark.parametrize(
    ("specs", "named"),
    [
        ({"rgb": {"kind": "edge"}}, "distill.views.rgb"),
        ({"sketch": {}}, "sketch"),
        ({"edge": {"kind": "colour"}}, "colour"),
        ({"edge": {"cutoff": 0.1}}, "cutoff"),
    ],
)
def test_a_bad_view_is_named(specs: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Views(specs)


def test_unknown_operators_modes_and_filters_are_refused() -> None:
    images = random_images(9, (1, 4, 4))
    with pytest.raises(ValueError, match="operator 'canny'"):
        edge_view(images, operator="canny")
    with pytest.raises(ValueError, match="mode 'add'"):
        edge_view(images, mode="add")
    with pytest.raises(ValueError, match="mode 'add'"):
        high_frequency_view(images, mode="add")
    with pytest.raises(ValueError, match="filter 'box'"):
        high_pass(images, filter="box")
