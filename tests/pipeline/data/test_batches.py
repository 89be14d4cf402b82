import numpy as np
import torch

from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.batch_maker import BatchMaker
from pipeline.data.batches import CPU, Batch, Crops, Request, Variation
from pipeline.data.index import DataIndex
from tests.pipeline.data.conftest import Augment

GEOMETRY = Geometry(16, 20)
MIXED = Augmentation(Augment(crop="shift", mixup=1.0, jitter=0.3), GEOMETRY, seed=5)  # type: ignore[arg-type]


def test_worker_leaves_to_another_device_what_follows_the_crop(index: DataIndex):
    maker, elsewhere = BatchMaker(index, index.root, 0), torch.device("meta")
    here = maker.__getitems__(Request("train", MIXED, 1, np.arange(5)))
    crops = maker.__getitems__(Request("train", MIXED, 1, np.arange(5), elsewhere))
    assert isinstance(here, Batch) and isinstance(crops, Crops)
    assert isinstance(crops.images, torch.Tensor) and isinstance(crops.partners, torch.Tensor)
    squares = crops.images.clone()  # which are varied in place
    for field, made, finished in zip(Batch._fields, here, crops.finished(MIXED, CPU), strict=True):
        assert torch.equal(made, finished), field  # type: ignore[arg-type]
    assert not torch.equal(squares.permute(0, 3, 1, 2), here.images)


def test_what_is_drawn_for_many_batches_is_what_each_draws_itself(index: DataIndex):
    sizes, order = index.splits["train"].sizes, np.array([7, 2, 11, 0, 5])
    together, alone = (Variation.draw(MIXED, 3, indices, sizes) for indices in (order, order[2:4]))
    part = together.rows(slice(2, 4))
    assert part.partners is not None and alone.partners is not None
    assert part.mixes is not None and alone.mixes is not None
    np.testing.assert_array_equal(part.mixes.shares, alone.mixes.shares)
    for one, other in ((part.draws, alone.draws), (part.partners, alone.partners)):
        for name in ("indices", "boxes", "mirrored", "factors", "order"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
