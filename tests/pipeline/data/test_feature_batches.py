"""Features in the place of images."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.feature_batches import FeatureLoader
from pipeline.data.indexing import build_index
from pipeline.data.loading import Loader, epoch_order
from pipeline.data.settings import AugmentSettings
from pipeline.tmkd.views.settings import default_views
from pipeline.tmkd.views.views import Views
from tests.pipeline.data.conftest import Data, folders, settings  # noqa: F401 (fixtures)

GEOMETRY, VIEWS, CPU = Geometry(16, 20), Views(default_views()), torch.device("cpu")
AUGMENTATION = Augmentation(AugmentSettings(), GEOMETRY, seed=5)


def corner_colours(images: Tensor) -> Tensor:
    """Something of each image, `[n, 6]`."""
    return images[:, :, [0, -1], [0, -1]].flatten(1)


@pytest.fixture
def loader(folders: Path, settings: Callable[..., Data]) -> Loader:  # noqa: F811
    index = build_index(settings())
    return Loader(index, index.root)


def test_batches_hold_each_views_features_of_plain_images(loader: Loader) -> None:
    made = FeatureLoader(loader, GEOMETRY, VIEWS, corner_colours, CPU)
    (plain,) = loader.evaluation_batches("train", GEOMETRY)
    expected = torch.stack([corner_colours(view) for view in VIEWS(plain.images.float() / 255)], dim=1)
    batches = list(made.training_batches(AUGMENTATION, 4, seed=5, epoch=2))
    assert [len(batch.labels) for batch in batches] == [4, 4, 4, 1] and made.images == 13
    order = torch.cat([batch.indices for batch in batches])
    assert order.tolist() == epoch_order(5, 2, 13).tolist()
    for batch in batches:
        torch.testing.assert_close(batch.images, expected[batch.indices])
        assert torch.equal(batch.labels, plain.labels[batch.indices]) and batch.images.dtype == torch.float32


def test_epoch_resumed_after_some_batches_has_the_rest_of_them(loader: Loader) -> None:
    made = FeatureLoader(loader, GEOMETRY, VIEWS, corner_colours, CPU)
    whole = [batch.indices.tolist() for batch in made.training_batches(AUGMENTATION, 4, seed=5, epoch=2)]
    for done in range(len(whole) + 1):
        rest = made.training_batches(AUGMENTATION, 4, seed=5, epoch=2, done=done)
        assert [batch.indices.tolist() for batch in rest] == whole[done:]


def test_epochs_look_at_no_image_again(loader: Loader) -> None:
    looks: list[int] = []

    def counted(images: Tensor) -> Tensor:
        looks.append(len(images))
        return corner_colours(images)

    made = FeatureLoader(loader, GEOMETRY, VIEWS, counted, CPU)
    before = list(looks)
    for epoch in range(3):
        assert len(list(made.training_batches(AUGMENTATION, 4, 5, epoch, drop_last=True))) == made.steps_per_epoch(4)
        list(made.evaluation_batches("validation", GEOMETRY))
    assert looks == before and before


def test_validation_is_rgb_alone_in_its_order(loader: Loader) -> None:
    made = FeatureLoader(loader, GEOMETRY, VIEWS, corner_colours, CPU)
    (batch,) = made.evaluation_batches("validation", GEOMETRY)
    (plain,) = loader.evaluation_batches("validation", GEOMETRY)
    torch.testing.assert_close(batch.images, corner_colours(plain.images.float() / 255)[:, None])
    assert torch.equal(batch.labels, plain.labels)
    for split, geometry in (("test", GEOMETRY), ("validation", Geometry(8, 10))):
        with pytest.raises(ValueError, match="no features"):
            next(made.evaluation_batches(split, geometry))  # type: ignore[arg-type]


def test_an_even_selection_is_kept_where_memory_is_short(loader: Loader) -> None:
    row = 3 * 6 * 4
    made = FeatureLoader(loader, GEOMETRY, VIEWS, corner_colours, CPU, memory_bytes=4 * row + 1)
    assert made.images == 4 and made.steps_per_epoch(3) == 1
    (batch,) = made.training_batches(AUGMENTATION, 4, seed=5, epoch=0)
    assert sorted(batch.indices.tolist()) == [0, 3, 6, 9]
    whole = FeatureLoader(loader, GEOMETRY, VIEWS, corner_colours, CPU)
    rows = {int(i): row for part in whole.training_batches(AUGMENTATION, 13, 5, 0) for i, row in zip(
        part.indices, part.images, strict=True)}  # fmt: skip
    assert all(torch.equal(row, rows[int(i)]) for i, row in zip(batch.indices, batch.images, strict=True))
