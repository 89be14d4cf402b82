import pytest
import torch

from pipeline.tmkd.views import views as views_module
from pipeline.tmkd.views.edge import edge_view
from pipeline.tmkd.views.high_frequency import high_frequency_view
from pipeline.tmkd.views.settings import VIEW_CLASSES, VIEW_KINDS, EdgeView, FlipView, HighFrequencyView, ZoomView
from pipeline.tmkd.views.views import Views
from tests.pipeline.tmkd.views.images import random_images


def test_every_kind_has_a_function() -> None:
    assert tuple(views_module._FUNCTIONS) == VIEW_KINDS


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    images = random_images(3, (2, 13, 16))
    views = Views(dict(zip(VIEW_KINDS, (kind() for kind in VIEW_CLASSES), strict=True)) | {
        "soft": HighFrequencyView(filter="gaussian")
    })  # fmt: skip
    plain = views(images)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(views(images), plain)
        half = views(images.to(dtype))
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), plain, atol=0.02, rtol=0)


def test_views_are_stacked_rgb_first() -> None:
    images = random_images(7, (2, 9, 11))
    scharr, texture = EdgeView(strength=0.5, operator="scharr"), HighFrequencyView(cutoff=0.4)
    views = Views({"edge": scharr, "texture": texture})
    assert views.names == ("rgb", "edge", "texture")
    assert views.kinds == {"rgb": "rgb", "edge": "edge", "texture": "high_frequency"}
    stacked = views(images)
    assert stacked.shape == (3, 2, 3, 9, 11) == (len(views), *images.shape)
    assert torch.equal(stacked[0], images)
    assert torch.equal(stacked[1], edge_view(images, scharr))
    assert torch.equal(stacked[2], high_frequency_view(images, texture))


def test_no_views_are_rgb_alone() -> None:
    images = random_images(8, (2, 5, 5))
    assert Views({}).names == ("rgb",)
    assert torch.equal(Views({})(images), images[None])


def test_identity_follows_from_the_settings_and_not_from_the_name() -> None:
    identities = Views({"edge": EdgeView(), "contour": EdgeView(), "strong": EdgeView(strength=1.0)}).identities
    # Caches of teachers on disk are found by these names.
    assert identities[:2] == ("rgb", "edge-5c4b0a4d")
    assert identities[1] == identities[2] != identities[3]


def test_maps_of_mirrored_views_alone_are_moved_back():
    views = Views({"edge": EdgeView(), "flip": FlipView(), "turned": FlipView(axis="vertical"), "zoom": ZoomView()})
    maps = torch.rand(len(views), 2, 3, 4, 5)
    aligned = views.aligned(maps)
    for number, name in enumerate(views.names):
        axes = {"flip": [-1], "turned": [-2]}.get(name, [])
        assert torch.equal(aligned[number], maps[number].flip(axes))


def test_maps_of_views_that_move_nothing_are_left_as_they_are():
    maps = torch.rand(2, 1, 3, 4, 4)
    assert Views({"edge": EdgeView()}).aligned(maps) is maps
