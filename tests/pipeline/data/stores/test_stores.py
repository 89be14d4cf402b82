"""What holds for every store: the same images in threads, processes and copies, detected changes, and names."""

import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from exporters.core.errors import UnavailableError
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index, read_listing
from pipeline.data.listing import listing_digest
from pipeline.data.loading import Batch, Loader
from pipeline.data.stores.registry import open_store
from tests.pipeline.data.conftest import Augment, Data, write_folders
from tests.pipeline.data.containers import write_cifar10, write_cifar100, write_mnist, write_shards, write_stl10
from tests.pipeline.data.stores.test_base import keys

GEOMETRY = Geometry(16, 20)
AUGMENTATION = Augmentation(Augment(jitter=0.3), GEOMETRY, seed=5)


@dataclass(frozen=True)
class Case:
    """A data set, who writes it, and one of its files."""

    dataset: str
    write: Callable[[Path], object]
    file: str


def folders(root: Path) -> None:
    write_folders(root, {f"{split}/{name}": 5 for split in ("train", "test") for name in ("teal", "smew")})


CASES = [
    Case("folder", folders, "test/teal/001.png"),
    Case("cifar10", write_cifar10, "cifar-10-batches-bin/test_batch.bin"),
    Case("cifar100", write_cifar100, "cifar-100-binary/test.bin"),
    Case("stl10", write_stl10, "stl10_binary/test_X.bin"),
    Case("webdataset", write_shards, "test-000000.tar"),
    Case("torchvision:MNIST", write_mnist, "MNIST/raw/t10k-images-idx3-ubyte"),
]


pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.fixture(params=CASES, ids=lambda case: case.dataset)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    request.param.write(tmp_path)
    return request.param


def settings(case: Case, root: Path) -> Data:
    return Data(dataset=case.dataset, root=str(root))


def test_the_hash_is_that_of_the_bytes_and_copies_and_threads_agree(case: Case, tmp_path: Path):
    listing = read_listing(settings(case, tmp_path))
    store = open_store(listing.store, listing.root)
    expected = {key: (sha256(store.read(key)).digest(), store.image(key).tobytes()) for key in keys(listing)}
    assert len({digest for digest, _ in expected.values()}) == len(expected)  # noise: every image is another
    copy = pickle.loads(pickle.dumps(store))
    assert (copy.root, copy.argument) == (store.root, store.argument) and len(pickle.dumps(store)) < 1000

    def examined(key: str) -> tuple[bytes, bytes]:
        digest, image = copy.examine(key)
        assert image.mode == "RGB"
        return digest, image.tobytes()

    with ThreadPoolExecutor(8) as pool:
        found = pool.map(examined, [*expected, *reversed(expected)])
        assert list(found) == [*expected.values(), *reversed(expected.values())]


def test_batches_are_the_same_with_and_without_processes(case: Case, tmp_path: Path):
    build_index(settings(case, tmp_path)).save(tmp_path / "saved")
    index = DataIndex.load(tmp_path / "saved")

    def everything(loader: Loader) -> list[Batch]:
        with loader:
            return [
                *loader.training_batches(AUGMENTATION, 4, seed=1, epoch=2),
                *loader.evaluation_batches("test", GEOMETRY, 3),
            ]

    reference = everything(Loader(index, index.root, 0))
    for other in (Loader(index, index.root, 0, cache_bytes=0), Loader(index, index.root, 2)):
        for one, two in zip(everything(other), reference, strict=True):
            for ours, theirs in zip(one, two, strict=True):  # what a batch without mixing has none of is None
                assert (ours is theirs is None) or torch.equal(ours, theirs)


def test_the_digest_of_the_listing_sees_a_touched_file(case: Case, tmp_path: Path):
    before = listing_digest(read_listing(settings(case, tmp_path)))
    assert listing_digest(read_listing(settings(case, tmp_path))) == before
    status = (tmp_path / case.file).stat()
    os.utime(tmp_path / case.file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert listing_digest(read_listing(settings(case, tmp_path))) != before


@pytest.mark.parametrize("workers", [0, 2])
def test_file_missing_after_indexing_is_named(case: Case, tmp_path: Path, workers: int):
    index = build_index(settings(case, tmp_path))
    (tmp_path / case.file).unlink()
    with pytest.raises(UnavailableError) as caught:
        list(Loader(index, index.root, workers, cache_bytes=0).evaluation_batches("test", GEOMETRY, 2))
    assert str(tmp_path) in caught.value.message and "Traceback" not in str(caught.value)


@pytest.mark.parametrize(("workers", "cache_bytes"), [(0, 2**20), (0, 0), (2, 0)])
def test_image_that_is_not_the_indexed_one_is_refused(case: Case, tmp_path: Path, workers: int, cache_bytes: int):
    index = build_index(settings(case, tmp_path))
    index.splits["test"].sha256[1, 31] ^= 1
    changed = open_store(index.store, index.root).describe(index.splits["test"].paths[1])
    with Loader(index, index.root, workers, cache_bytes) as loader:
        list(loader.training_batches(AUGMENTATION, 4, seed=1, epoch=0))
        with pytest.raises(UnavailableError) as caught:
            list(loader.evaluation_batches("test", GEOMETRY, 3))
    assert caught.value.message.startswith(f"{changed}: the image is another one than when the data was indexed")
    assert "--force data" in str(caught.value.remedy)


def test_only_folder_keys_are_file_paths(case: Case, tmp_path: Path):
    listing = read_listing(settings(case, tmp_path))
    key = listing.splits["test"].paths[0]
    file = open_store(listing.store, listing.root).file(key)
    assert file == (tmp_path / key if case.dataset == "folder" else None)
