"""Which view an image is shown in."""

import torch

from pipeline.randomness import Samples
from pipeline.tmkd.sampled_views import SampledViews
from pipeline.tmkd.views.settings import default_views
from pipeline.tmkd.views.views import Views

VIEWS = Views(default_views())


def test_each_image_is_shown_in_its_sampled_view() -> None:
    images = torch.rand(7, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    sampled = torch.tensor([0, 2, 1, 1, 0, 2, 2])
    shown = SampledViews(VIEWS, 0, "a")(images, sampled)
    everything = VIEWS(images)
    for number, view in enumerate(sampled.tolist()):
        assert torch.equal(shown[number], everything[view, number])
    assert torch.equal(shown[0], images[0])


def test_sample_follows_from_seed_purpose_epoch_and_index_alone() -> None:
    indices = torch.arange(400)
    sampled = SampledViews(VIEWS, 3, "a").sample(Samples(indices, 5))
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    assert torch.equal(SampledViews(VIEWS, 3, "a").sample(Samples(indices[order], 5)), sampled[order])
    for seed, purpose, epoch in ((4, "a", 5), (3, "b", 5), (3, "a", 6)):
        other = SampledViews(VIEWS, seed, purpose).sample(Samples(indices, epoch))
        assert 0.2 < (other == sampled).double().mean().item() < 0.47
    assert all(100 < count < 170 for count in torch.bincount(sampled, minlength=3).tolist())


def test_rgb_alone_is_the_image() -> None:
    images = torch.rand(3, 3, 8, 8)
    views = SampledViews(Views({}), 0, "a")
    assert torch.equal(views(images, views.sample(Samples(torch.arange(3), 0))), images)
