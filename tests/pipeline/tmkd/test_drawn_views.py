"""Which view an image is shown in."""

import torch

from pipeline.tmkd.drawn_views import DrawnViews
from pipeline.tmkd.views.settings import default_views
from pipeline.tmkd.views.views import Views

VIEWS = Views(default_views())


def test_each_image_is_shown_in_the_view_that_was_drawn() -> None:
    images = torch.rand(7, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    drawn = torch.tensor([0, 2, 1, 1, 0, 2, 2])
    shown = DrawnViews(VIEWS, 0, "a")(images, drawn)
    everything = VIEWS(images)
    for number, view in enumerate(drawn.tolist()):
        assert torch.equal(shown[number], everything[view, number])
    assert torch.equal(shown[0], images[0])


def test_a_draw_follows_from_seed_purpose_pass_and_index_alone() -> None:
    indices = torch.arange(400)
    drawn = DrawnViews(VIEWS, 3, "a").draw(5, indices)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    assert torch.equal(DrawnViews(VIEWS, 3, "a").draw(5, indices[order]), drawn[order])
    for other in (DrawnViews(VIEWS, 4, "a").draw(5, indices), DrawnViews(VIEWS, 3, "b").draw(5, indices),
                  DrawnViews(VIEWS, 3, "a").draw(6, indices)):  # fmt: skip
        assert 0.2 < (other == drawn).double().mean().item() < 0.47
    assert all(100 < count < 170 for count in torch.bincount(drawn, minlength=3).tolist())


def test_rgb_alone_is_the_image() -> None:
    images = torch.rand(3, 3, 8, 8)
    drawn = DrawnViews(Views({}), 0, "a")
    assert torch.equal(drawn(images, drawn.draw(0, torch.arange(3))), images)
