from itertools import zip_longest

import numpy as np
import pytest
import torch

from exporters.images.preprocessing import Geometry
from pipeline.data import together
from pipeline.data.augmentation import Augmentation
from pipeline.data.batch_maker import BatchMaker
from pipeline.data.batches import CPU, Batch, Crops, Failure, Request
from pipeline.data.index import DataIndex
from pipeline.data.together import batches_together
from tests.pipeline.data.conftest import Augment, RandAugment

GEOMETRY = Geometry(16, 20)
PIXELS = 16 * 16
PLAIN = Augment(crop="shift", jitter=0.4, erasing=0.5)
MIXED = Augment(mixup=0.5, cutmix=1.0, mix_probability=0.7, jitter=0.4, randaugment=RandAugment())


def requests_of(transform: Augmentation | Geometry, batch: int, device: torch.device = CPU) -> list[Request]:
    order = np.random.default_rng(0).permutation(13)
    return [Request("train", transform, 1, order[start : start + batch], device) for start in range(0, 13, batch)]


def same(one: Batch, other: Batch) -> bool:
    return all((a is b is None) or torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("augment", [PLAIN, MIXED])
@pytest.mark.parametrize("batch", [1, 3, 13])
def test_batches_made_together_are_those_made_one_by_one(
    index: DataIndex, monkeypatch: pytest.MonkeyPatch, augment: Augment, batch: int
):
    augmentation = Augmentation(augment, GEOMETRY, seed=5)  # type: ignore[arg-type]
    requests = requests_of(augmentation, batch)
    alone = [BatchMaker(index, index.root, 2**20).__getitems__(request) for request in requests]
    for drawn, varied in ((1, 1), (6, 2), (7, 4), (100, 6), (100, 100)):
        monkeypatch.setattr(together, "DRAWN_TOGETHER", drawn)
        monkeypatch.setattr(together, "_VARIED_PIXELS", varied * PIXELS)
        made = list(batches_together(BatchMaker(index, index.root, 2**20), index, requests))
        for found, expected in zip_longest(made, alone):
            assert isinstance(found, Batch) and isinstance(expected, Batch) and same(found, expected)
            assert found.images.is_contiguous(memory_format=torch.channels_last)


def test_as_many_images_as_agreed_are_varied_at_once(index: DataIndex, monkeypatch: pytest.MonkeyPatch):
    counts: list[int] = []
    whole = Augmentation.vary

    def counting(self: Augmentation, crops: torch.Tensor, draws: object) -> torch.Tensor:
        counts.append(len(crops))
        return whole(self, crops, draws)  # type: ignore[arg-type]

    monkeypatch.setattr(Augmentation, "vary", counting)
    monkeypatch.setattr(together, "_VARIED_PIXELS", 9 * PIXELS)
    requests = requests_of(Augmentation(PLAIN, GEOMETRY, seed=5), 2)  # type: ignore[arg-type]
    list(batches_together(BatchMaker(index, index.root, 2**20), index, requests))
    assert counts == [8, 5]


def test_another_device_is_given_batch_by_batch_what_it_varies_itself(index: DataIndex):
    augmentation = Augmentation(PLAIN, GEOMETRY, seed=5)  # type: ignore[arg-type]
    elsewhere = requests_of(augmentation, 4, torch.device("meta"))
    made = list(batches_together(BatchMaker(index, index.root, 0), index, elsewhere))
    assert [len(crops.labels) for crops in made if isinstance(crops, Crops)] == [4, 4, 4, 1]


def test_images_of_evaluation_and_no_requests_at_all(index: DataIndex):
    maker = BatchMaker(index, index.root, 2**20)
    made = list(batches_together(maker, index, requests_of(GEOMETRY, 4)))
    assert [len(batch.labels) for batch in made if isinstance(batch, Batch)] == [4, 4, 4, 1]
    assert list(batches_together(maker, index, [])) == []


def test_broken_image_is_named(index: DataIndex):
    requests = requests_of(Augmentation(PLAIN, GEOMETRY, seed=5), 2)  # type: ignore[arg-type]
    broken = index.root / index.splits["train"].paths[int(requests[1].indices[0])]
    broken.write_bytes(b"no image")
    (failure,) = batches_together(BatchMaker(index, index.root, 2**20), index, requests)
    assert isinstance(failure, Failure) and broken.name in failure.message


def test_nothing_follows_a_broken_image(index: DataIndex, monkeypatch: pytest.MonkeyPatch):
    requests = requests_of(Augmentation(PLAIN, GEOMETRY, seed=5), 2)  # type: ignore[arg-type]
    monkeypatch.setattr(together, "_VARIED_PIXELS", 2 * PIXELS)
    broken = index.root / index.splits["train"].paths[int(requests[1].indices[0])]
    broken.write_bytes(b"no image")
    made = list(batches_together(BatchMaker(index, index.root, 2**20), index, requests))
    assert [type(each) for each in made] == [Batch, Failure]
