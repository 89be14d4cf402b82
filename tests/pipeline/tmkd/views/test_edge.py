import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tmkd.views.edge import edge_map, edge_view
from pipeline.tmkd.views.settings import EdgeView
from tests.pipeline.tmkd.views.images import random_images, sizes

OPERATORS = ("sobel", "scharr", "laplacian")
KERNELS = {
    "sobel": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float64),
    "scharr": np.array([[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]], dtype=np.float64),
}
LAPLACIAN = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=np.float64)


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
    np.testing.assert_allclose(
        edge_view(images, EdgeView(strength=0.4, operator=operator)).numpy(), enhanced, atol=1e-5
    )
    replaced = edge_view(images, EdgeView(operator=operator, mode="replace")).numpy()
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
    assert torch.equal(edge_view(images, EdgeView(strength=1.0, operator=operator)), images)


def test_each_image_has_its_own_maximum() -> None:
    faint = random_images(0, (1, 8, 8)) * 0.01
    strong = random_images(1, (1, 8, 8))
    together = edge_map(torch.cat([faint, strong]), "sobel")
    assert together.amax(dim=(1, 2, 3)).tolist() == [1.0, 1.0]
    torch.testing.assert_close(together[:1], edge_map(faint, "sobel"))


@given(seed=st.integers(0, 10_000), size=sizes)
@settings(deadline=None, max_examples=20)
def test_strength_0_gives_the_image(seed: int, size: tuple[int, int, int]) -> None:
    images = random_images(seed, size)
    assert torch.equal(edge_view(images, EdgeView(strength=0.0)), images)


@pytest.mark.parametrize("operator", OPERATORS)
def test_edge_view_is_differentiable(operator: str) -> None:
    # Inside (0, 1), where nothing is clipped, and away from ties of the maximum.
    images = (0.3 + 0.3 * random_images(5, (1, 5, 4), torch.float64)).requires_grad_()
    view = EdgeView(strength=0.2, operator=operator)
    assert torch.autograd.gradcheck(lambda x: edge_view(x, view), images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    for mode in ("enhance", "replace"):
        assert edge_view(random_images(0, (2, 5, 6), dtype), EdgeView(mode=mode)).dtype == dtype


def test_a_flat_image_has_a_finite_gradient() -> None:
    images = torch.full((1, 3, 6, 6), 0.4, requires_grad=True)
    edge_view(images, EdgeView()).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
