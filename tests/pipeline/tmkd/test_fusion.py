import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.outputs import NetworkOutput
from pipeline.tmkd.fusion import fuse, fuse_output, own_view_weights, split_views
from pipeline.tmkd.weighting import view_weights


@given(
    seed=st.integers(0, 10_000),
    views=st.integers(1, 5),
    images=st.integers(1, 5),
    rest=st.lists(st.integers(1, 4), max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
@settings(deadline=None, max_examples=50)
def test_fusion_is_the_weighted_sum(seed: int, views: int, images: int, rest: list[int], dtype: torch.dtype) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(views), images)
    values = torch.tensor(rng.normal(size=(views, images, *rest))).to(dtype)
    expected = np.einsum("bv,vb...->b...", weights, values.double().numpy())
    result = fuse(torch.tensor(weights), values)
    np.testing.assert_allclose(result.double().numpy(), expected, atol=1e-5)


@given(seed=st.integers(0, 10_000), views=st.integers(1, 5))
@settings(deadline=None, max_examples=20)
def test_the_whole_weight_on_rgb_gives_rgb(seed: int, views: int) -> None:
    values = torch.randn(views, 3, 4, 2, 2, generator=torch.Generator().manual_seed(seed))
    weights = torch.zeros(3, views)
    weights[:, 0] = 1
    assert torch.equal(fuse(weights, values), values[0])


def test_views_rgb_alone_give_the_ordinary_teacher() -> None:
    weight = torch.randn(5, 4)
    stages = (torch.randn(3, 2, 4, 4), torch.randn(3, 4, 2, 2))
    output = NetworkOutput(torch.randn(3, 5), torch.randn(3, 4), stages[1], weight, torch.randn(5), stages)
    fused = fuse_output(view_weights(torch.randn(3, 1), 1.0), split_views(output, 1))
    for name in ("logits", "pooled", "feature_map", "classifier_weight", "classifier_bias"):
        assert torch.equal(getattr(fused, name), getattr(output, name))
    assert all(torch.equal(one, other) for one, other in zip(fused.stage_maps, stages, strict=True))


def test_outputs_of_one_pass_are_split_by_view() -> None:
    views = torch.arange(3.0)[:, None].expand(3, 2)  # view number of each of V x B
    flat = views.flatten()[:, None]
    output = split_views(NetworkOutput(logits=flat, pooled=flat), 3)
    assert output.feature_map is None
    assert output.logits[:, :, 0].tolist() == [[0, 0], [1, 1], [2, 2]]
    weights = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    fused = fuse_output(weights, output)
    assert fused.feature_map is None
    assert fused.logits[:, 0].tolist() == [0.5, 2.0]


def test_the_logits_of_a_fused_teacher_come_from_its_fused_map() -> None:
    weight, bias = torch.randn(6, 4), torch.randn(6)
    maps = torch.randn(3 * 2, 4, 5, 3)
    pooled = maps.mean(dim=(2, 3))
    output = NetworkOutput(pooled @ weight.T + bias, pooled, maps, weight, bias)
    fused = fuse_output(view_weights(torch.randn(2, 3), 1.0), split_views(output, 3))
    assert fused.feature_map is not None
    torch.testing.assert_close(fused.feature_map.mean(dim=(2, 3)) @ weight.T + bias, fused.logits, atol=1e-5, rtol=0)


@given(seed=st.integers(0, 1000), views=st.integers(1, 4), images=st.integers(1, 3), stages=st.integers(0, 3))
@settings(deadline=None, max_examples=20)
def test_stage_maps_are_fused_like_the_last_map(seed: int, views: int, images: int, stages: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(views), images)
    maps = [rng.normal(size=(views, images, 2 + i, 4 - i, 4 - i)) for i in range(stages)]
    flat = tuple(torch.tensor(x).flatten(0, 1) for x in maps)
    output = NetworkOutput(torch.zeros(views * images, 3), torch.zeros(views * images, 2), stage_maps=flat)
    fused = fuse_output(torch.tensor(weights), split_views(output, views))
    assert len(fused.stage_maps) == stages
    for found, given_maps in zip(fused.stage_maps, maps, strict=True):
        np.testing.assert_allclose(found.numpy(), np.einsum("bv,vbchw->bchw", weights, given_maps), atol=1e-9)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        fuse(torch.ones(2, 3), torch.ones(2, 2, 4))


def test_fusion_keeps_fp32_in_autocast_and_has_gradients() -> None:
    weights, values = torch.rand(2, 3, dtype=torch.float64), torch.rand(3, 2, 4, dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fuse(weights.float(), values.bfloat16()).dtype == torch.float32
    assert torch.autograd.gradcheck(fuse, (weights.requires_grad_(), values.requires_grad_()))


def test_own_view_weights_keep_the_weights_of_images_shown_as_they_are() -> None:
    weights = view_weights(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), 1.0)
    found = own_view_weights(weights, torch.tensor([0, 2, 1, 0, 2]))  # the last view is shown in no image
    assert torch.equal(found[[0, 3]], weights[[0, 3]])
    assert found[[1, 2, 4]].tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert found.dtype == weights.dtype
