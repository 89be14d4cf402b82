from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.batch_maker import BatchMaker
from pipeline.data.batches import Crops, Failure, Request
from pipeline.data.index import DataIndex
from pipeline.data.mixing import draw_mix
from tests.pipeline.data.conftest import Augment, write_image

GEOMETRY = Geometry(16, 20)
MIXED = Augmentation(Augment(crop="shift", mixup=1.0, jitter=0.3), GEOMETRY, seed=5)  # type: ignore[arg-type]


def test_a_broken_partner_is_named(index: DataIndex):
    mix = draw_mix(MIXED.settings, 5, 0, 0, 13, 16)
    assert mix is not None
    broken = index.root / index.splits["train"].paths[mix.partner]
    broken.write_bytes(b"no image")
    failure = BatchMaker(index, index.root, 0).__getitems__(Request("train", MIXED, 0, np.array([0])))
    assert isinstance(failure, Failure) and broken.name in failure.message


@pytest.mark.parametrize("decode", [False, True])
def test_changed_image_is_named_when_it_is_read_first(index: DataIndex, decode: bool):
    maker = BatchMaker(index, index.root, 0)
    split, transform = index.splits["train"], Augmentation(Augment(), GEOMETRY, seed=5)  # type: ignore[arg-type]
    request = Request("train", transform, 0, np.array([2, 3]), torch.device("meta"), decode)
    assert isinstance(maker.__getitems__(request), Crops)
    for position in (3, 4):
        write_image(index.root / split.paths[position], 77, *map(int, split.sizes[position]))
    assert isinstance(maker.__getitems__(request), Crops)  # read before, as it was indexed
    failure = maker.__getitems__(replace(request, indices=np.array([3, 4])))
    assert isinstance(failure, Failure) and Path(split.paths[4]).name in failure.message
    assert "another one than when the data was indexed" in failure.message
