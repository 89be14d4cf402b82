import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from PIL import Image

from pipeline.data.index import IndexedSplit
from pipeline.data.inspection import near_duplicates as module
from pipeline.data.inspection.looks import Looks, look_of
from pipeline.data.inspection.near_duplicates import correlations, near_duplicates
from pipeline.data.listing import SplitName
from pipeline.data.path_table import PathTable
from tests.pipeline.data.inspection.pictures import LIGHT_CHANGES, picture

Images = Mapping[SplitName, Sequence[Image.Image]]


def looked_at(images: Images) -> tuple[dict[SplitName, IndexedSplit], Looks]:
    looks = Looks.empty(sum(map(len, images.values())))
    splits: dict[SplitName, IndexedSplit] = {}
    place = 0
    for name, own in images.items():
        digests = [hashlib.sha256(image.tobytes()).digest() for image in own]
        for digest, image in zip(digests, own, strict=True):
            looks.put(place, digest, look_of(image))
            place += 1
        splits[name] = IndexedSplit(
            PathTable.of(f"{name}/{number}.png" for number in range(len(own))),
            np.zeros(len(own), np.int64),
            np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
            np.array([image.size for image in own], np.int32).reshape(-1, 2),
        )
    return splits, looks


def test_every_planted_change_is_found_with_its_original_and_nothing_else() -> None:
    train = [picture(seed) for seed in range(40)]
    changed = [change(train[number]) for number, change in enumerate(LIGHT_CHANGES.values())]
    test = [picture(1000 + seed) for seed in range(20)] + changed
    (found,) = near_duplicates(*looked_at({"train": train, "test": test}))
    pairs = dict(zip(found.positions.tolist(), found.partners.tolist(), strict=True))
    assert pairs == {20 + number: number for number in range(len(changed))}
    assert (found.split, found.other) == ("train", "test")
    assert found.correlations.tolist() == sorted(found.correlations.tolist(), reverse=True)
    for position, partner, distance in zip(found.positions, found.partners, found.distances, strict=True):
        hashes = (look_of(image).hash for image in (test[position], train[partner]))
        assert distance == (next(hashes) ^ next(hashes)).bit_count()


def test_same_bytes_and_images_that_show_nothing_are_no_near_duplicates() -> None:
    flat = [Image.new("RGB", (40, 40), (shade, shade, shade)) for shade in (9, 12)]
    splits = {"train": [picture(0), flat[0]], "validation": [picture(0)], "test": [flat[1]]}
    assert near_duplicates(*looked_at(splits)) == []


def test_partner_is_the_one_that_is_most_alike() -> None:
    image = picture(3)
    near, far = LIGHT_CHANGES["saved again at quality 60"](image), LIGHT_CHANGES["cropped by 3 %"](image)
    (found,) = near_duplicates(*looked_at({"train": [far, near], "test": [image]}))
    assert found.partners.tolist() == [1]


def test_every_image_is_found_where_all_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPARED", 2)
    image = np.asarray(picture(5), dtype=np.int16)
    random = np.random.default_rng(0)
    alike = [
        Image.fromarray(np.clip(image + random.integers(-6, 7, image.shape), 0, 255).astype(np.uint8))
        for _ in range(16)
    ]
    (found,) = near_duplicates(*looked_at({"train": alike[:10], "validation": alike[10:]}))
    assert sorted(found.positions.tolist()) == list(range(6))


def test_json_names_both_images_their_classes_and_how_far_they_are_apart() -> None:
    image = picture(7)
    splits, looks = looked_at({"train": [picture(1), image], "test": [LIGHT_CHANGES["darker"](image)]})
    (found,) = near_duplicates(splits, looks)
    told = found.to_json(splits, ["bird"])
    (pair,) = told["pairs"]
    assert told["count"] == 1 and pair.pop("correlation") > 0.99 and pair.pop("distance") <= 10
    assert pair == {"test": "test/0.png", "test_class": "bird", "train": "train/1.png", "train_class": "bird"}


def test_correlation_is_pearsons() -> None:
    random = np.random.default_rng(1)
    ours, theirs = (random.integers(0, 256, (5, 256), dtype=np.uint8) for _ in range(2))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs, strict=True)]
    assert correlations(ours, theirs).tolist() == pytest.approx(expected, abs=1e-5)
    assert correlations(ours[:1], np.full((1, 256), 7, np.uint8)).tolist() == [0]
