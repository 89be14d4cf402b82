import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from exporters.images.decoding import open_rgb
from pipeline.data.indexing import build_index
from pipeline.data.readers.webdataset import read
from pipeline.data.stores import shards
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Data
from tests.pipeline.data.containers import encoded, samples, write_shard, write_shards

pytestmark = pytest.mark.usefixtures("user_cache")


def test_images_and_labels_of_shards_are_read(tmp_path: Path):
    listing = read(write_shards(tmp_path), Data())
    assert listing.classes == ["wood duck", "teal", "smew"]
    assert listing.splits["train"].labels == [0, 1, 2] * 4
    assert listing.splits["test"].labels == [0, 1, 2]
    written = dict(samples(100, 6, first=6))
    store = open_store(listing.store, listing.root)
    for key in listing.splits["train"].paths[6:]:
        name = key.rpartition("@")[0].removeprefix("train-000001.tar/")
        assert store.read(key) == written[name]
        assert store.image(key).tobytes() == open_rgb(written[name]).tobytes()


def test_val_is_validation_beside_test_and_else_test(tmp_path: Path):
    write_shards(tmp_path)
    write_shard(tmp_path / "val-0.tar", samples(300, 6))
    assert {name: len(split) for name, split in read(tmp_path, Data()).splits.items()} == {
        "train": 12,
        "test": 3,
        "validation": 6,
    }
    (tmp_path / "test-000000.tar").unlink()
    assert {name: len(split) for name, split in read(tmp_path, Data()).splits.items()} == {"train": 12, "test": 6}


def test_shard_and_label_spellings_may_differ(tmp_path: Path):
    names = ["caf\u00e9", "tea"]
    write_shard(tmp_path / "Training_000.tar", [m for i in range(4) for m in sample(i, names[i % 2])])
    other = ["cafe\u0301", "tea"]
    write_shard(tmp_path / "DEV.tar", [m for i in range(2) for m in sample(i, other[i % 2])])
    listing = read(tmp_path, Data())
    assert {name: split.labels for name, split in listing.splits.items()} == {"train": [0, 1, 0, 1], "test": [0, 1]}
    assert len(listing.classes) == 2
    write_shard(tmp_path / "train-1.tar", samples(0, 3))
    with pytest.raises(UnavailableError, match="has both Training and train, and each could be the train split"):
        read(tmp_path, Data())


def sample(number: int, label: object, key: str = "") -> list[tuple[str, bytes]]:
    key = key or f"dir/{number}"
    return [(f"{key}.json", json.dumps({"label": label, "source": "x"}).encode()), (f"{key}.png", encoded(number))]


def test_labels_may_be_names_in_json(tmp_path: Path):
    names = ["teal", "wood_duck"]
    write_shard(tmp_path / "train-0.tar", [m for i in range(4) for m in sample(i, names[i % 2])])
    write_shard(tmp_path / "test-0.tar", [m for i in range(2) for m in sample(i, names[i % 2])])
    listing = read(tmp_path, Data())
    assert (listing.classes, listing.splits["train"].labels) == (["teal", "wood duck"], [0, 1, 0, 1])


def test_numbers_without_names_are_the_names_in_their_order(tmp_path: Path):
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-0.tar", [m for i, label in enumerate((10, 2, 10)) for m in sample(i, label)])
    listing = read(tmp_path, Data())
    assert (listing.classes, listing.splits["train"].labels) == (["2", "10"], [1, 0, 1])


def test_long_names_are_read(tmp_path: Path):
    for split in ("train", "test"):
        members = [m for i in range(2) for m in sample(i, i, f"{'long/' * 60}{i}-ä")]
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            with tarfile.open(tmp_path / f"{split}-{form}.tar", "w", format=form) as shard:
                for name, content in members:
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    listing = read(tmp_path, Data())
    assert len(listing.splits["train"]) == 4
    store = open_store(listing.store, listing.root)
    assert store.read(listing.splits["test"].paths[3]) == encoded(1)


def test_links_devices_and_escaping_paths_are_harmless(tmp_path: Path):
    root = write_shards(tmp_path / "data")
    outside = tmp_path / "secret.png"
    outside.write_bytes(encoded(0))
    with tarfile.open(root / "train-000002.tar", "w") as shard:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("000099.png")
            member.type, member.linkname = kind, "../secret.png"
            shard.addfile(member)
        for name, content in (("../../out.png", encoded(5)), ("../../out.cls", b"1"), ("readme.txt", b"x")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    listing = read(root, Data())
    assert listing.ignored == {"no plain file": 4, ".txt": 1}
    index = build_index(Data(dataset="webdataset", root=str(root)))
    assert sum(map(len, index.splits.values())) == 16
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        "secret.png",
        "classes.txt",
        "test-000000.tar",
        *(f"train-00000{number}.tar" for number in range(3)),
    }


def test_an_image_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_shards(tmp_path)
    monkeypatch.setattr(shards, "LARGEST_IMAGE", 1000)
    with pytest.raises(UnavailableError, match=r"train-000000.tar: 000000.png: .* bytes are more than 1,000"):
        build_index(Data(dataset="webdataset", root=str(tmp_path)))


def test_a_broken_image_is_named_and_can_be_skipped(tmp_path: Path):
    write_shards(tmp_path)
    write_shard(tmp_path / "train-000002.tar", [("x.png", encoded(0)[:100]), ("x.cls", b"0")])
    settings = Data(dataset="webdataset", root=str(tmp_path))
    with pytest.raises(UnavailableError, match=r"train-000002\.tar: x\.png: the image cannot be read"):
        build_index(settings)
    index = build_index(Data(dataset="webdataset", root=str(tmp_path), on_error="skip"))
    assert [file.path.split("@")[0] for file in index.skipped] == ["train-000002.tar/x.png"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.png", b"x")], "sample 'a' has an image and no label"),
        ([("a.png", b"x"), ("a.json", b"{}")], "sample 'a' has an image and no label"),
        ([("a.cls", b"1")], "sample 'a' has a label and no image"),
        ([("a.png", b"x"), ("a.jpg", b"x"), ("a.cls", b"1")], "sample 'a' has two images"),
        ([("a.png", b"x"), ("a.cls", b"duck")], "a.cls: is no label"),
        ([("a.png", b"x"), ("a.json", b"{")], "a.json: is no label"),
        ([("a.png", b"x"), ("a.json", b'{"label": [1]}')], r"expected a class number or name, found \[1\]"),
        ([("a.png", b"x"), ("a.json", b'{"label": true}')], "expected a class number or name, found True"),
        ([("a.png", b"x"), ("a.cls", b"-1")], "expected a class number or name, found -1"),
        ([("a.png", b"x"), ("a.cls", b"3")], r"has 3 classes, and train-000009\.tar/a\.png is labelled 3"),
        (
            [("a.png", b"x"), ("a.json", b'{"label": "goose"}')],
            "train-000009.tar/a.png is labelled 'goose'",
        ),
        ([("a.png", b"x"), ("a.cls", b"1"), ("a.json", b'{"label": 2}')], "'a' is labelled 1 and 2"),
        ([("a.png", b"x"), ("b.png", b"x"), ("a.cls", b"1")], "sample 'a' has an image and no label"),
        (
            [("a.png", b"x"), ("a.cls", b"1"), ("b.png", b"x"), ("b.cls", b"1"), ("a.webp", b"x")],
            "sample 'a' stands there twice",
        ),
        ([("a.png", b"x"), ("a.cls", b"1" * (2**20 + 1))], "too many for a label"),
    ],
)
def test_incomplete_samples_are_named(tmp_path: Path, members: list[tuple[str, bytes]], message: str):
    write_shards(tmp_path)
    write_shard(tmp_path / "train-000009.tar", members)
    with pytest.raises(UnavailableError, match=message) as caught:
        read(tmp_path, Data())
    assert "classes.txt" in caught.value.message or "train-000009.tar" in caught.value.message


@pytest.mark.parametrize("damage", ["cut", "cut before a header", "header", "no tar"])
def test_a_damaged_shard_is_named(tmp_path: Path, damage: str):
    path = write_shards(tmp_path) / "train-000001.tar"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:700])
    elif damage == "cut before a header":
        path.write_bytes(content[: content.index(b"000007")])
    elif damage == "header":
        place = content.index(b"000007")
        content[place : place + 100] = b"\xff" * 100
        path.write_bytes(content)
    else:
        path.write_bytes(b"no tar at all" * 100)
    with pytest.raises(UnavailableError, match=r"train-000001\.tar"):
        read(tmp_path, Data())


def test_folder_without_shards_is_refused_with_what_is_expected(tmp_path: Path):
    with pytest.raises(UnavailableError, match="no shards of a train split"):
        read(tmp_path, Data())
    (tmp_path / "train-000000.tar.gz").write_bytes(b"")
    with pytest.raises(UnavailableError, match="compressed shard") as caught:
        read(tmp_path, Data())
    assert "gunzip" in str(caught.value)
    write_shard(tmp_path / "train-000000.tar", samples(0, 6))
    with pytest.raises(UnavailableError, match="neither test nor val"):
        read(tmp_path, Data())


def test_a_shard_that_changes_after_indexing_is_named(tmp_path: Path):
    index = build_index(Data(dataset="webdataset", root=str(write_shards(tmp_path))))
    path = tmp_path / "test-000000.tar"
    path.write_bytes(path.read_bytes()[:1000])
    key = index.splits["test"].paths[2]
    with pytest.raises(Exception, match=r"test-000000\.tar: 000002\.webp: .* the shard ends within it"):
        open_store(index.store, index.root).image(key)
    assert np.asarray(index.splits["test"].sizes).tolist() == [[20, 20]] * 3


def test_a_shard_on_another_disk_is_read_through_its_link(tmp_path: Path):
    root = write_shards(tmp_path / "data")
    before = read(root, Data())
    (root / "train-000001.tar").rename(tmp_path / "elsewhere.tar")
    (root / "train-000001.tar").symlink_to(tmp_path / "elsewhere.tar")
    after = read(root, Data())
    assert after.splits == before.splits
    store = open_store(after.store, root)
    assert store.read(after.splits["train"].paths[-1]) == open_store(before.store, root).read(
        before.splits["train"].paths[-1]
    )
