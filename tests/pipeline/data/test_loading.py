import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from exporters.core.errors import UnavailableError
from exporters.images.decoding import open_rgb
from exporters.images.preprocessing import Geometry
from pipeline.data import loading
from pipeline.data.augmentation import Augmentation
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index
from pipeline.data.loading import Batch, Loader, epoch_order
from pipeline.data.mixing import draw_mix
from pipeline.distributed.parts import Part
from tests.pipeline.conftest import CLASSES, Run, draw
from tests.pipeline.data.conftest import Augment, Data, RandAugment, write_image
from tests.pipeline.data.reference import augmented, blended

GEOMETRY = Geometry(16, 20)
AUGMENT = Augment(jitter=0.3, randaugment=RandAugment(), erasing=0.5)
AUGMENTATION = Augmentation(AUGMENT, GEOMETRY, seed=5)  # type: ignore[arg-type]


def by_index(batches: Iterator[Batch]) -> dict[int, tuple[int, bytes]]:
    return {
        int(i): (int(label), image.contiguous().numpy().tobytes())
        for batch in batches
        for i, label, image in zip(batch.indices, batch.labels, batch.images, strict=True)
    }


def same(one: list[Batch], two: list[Batch]) -> bool:
    return len(one) == len(two) and all(
        (left is right is None) or torch.equal(left, right)
        for a, b in zip(one, two, strict=True)
        for left, right in zip(a, b, strict=True)
    )


def test_training_batches_hold_what_the_files_hold(index: DataIndex):
    batches = list(Loader(index, index.root).training_batches(AUGMENTATION, 4, seed=5, epoch=2))
    assert [len(batch.labels) for batch in batches] == [4, 4, 4, 1]
    np.testing.assert_array_equal(torch.cat([batch.indices for batch in batches]), epoch_order(5, 2, 13))
    split = index.splits["train"]
    for batch in batches:
        assert batch.images.dtype == torch.uint8
        assert batch.images.shape[1:] == (3, 16, 16)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        for i, label, image in zip(batch.indices.tolist(), batch.labels.tolist(), batch.images, strict=True):
            assert label == split.labels[i]
            expected = augmented(open_rgb(index.root / split.paths[i]), AUGMENT, GEOMETRY, 5, 2, i)
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_evaluation_batches_are_resized_and_cropped_in_order(index: DataIndex, split: str):
    batches = list(Loader(index, index.root).evaluation_batches(split, GEOMETRY, 3))  # type: ignore[arg-type]
    images = torch.cat([batch.images for batch in batches]).permute(0, 2, 3, 1).numpy()
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(len(index.splits[split])))
    for image, path in zip(images, index.splits[split].paths, strict=True):
        np.testing.assert_array_equal(image, GEOMETRY.apply(open_rgb(index.root / path)))


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
def test_a_limit_spreads_over_the_split(index: DataIndex, limit: int):
    batches = Loader(index, index.root).evaluation_batches("validation", GEOMETRY, 2, limit=limit)
    chosen = [i for batch in batches for i in batch.indices.tolist()]
    assert chosen == {1: [0], 2: [0, 2], 3: [0, 1, 2], 4: [0, 1, 2, 3], 100: [0, 1, 2, 3]}[limit]


def test_a_closed_loader_starts_again(index: DataIndex):
    with Loader(index, index.root, 1) as loader:
        first = list(loader.evaluation_batches("test", GEOMETRY, 2))
        loader.close()
        assert same(list(loader.evaluation_batches("test", GEOMETRY, 2)), first)


def test_workers_and_cache_change_no_bit(index: DataIndex):
    loaders = [
        Loader(index, index.root, 0),
        Loader(index, index.root, 0, cache_bytes=0),
        Loader(index, index.root, 2),
        Loader(index, index.root, 1),
    ]
    assert [loader.cached for loader in loaders] == [True, False, False, False]

    def everything(loader: Loader) -> list[Batch]:
        batches: list[Batch] = []
        for epoch in (0, 1, 0):
            batches += loader.training_batches(AUGMENTATION, 3, seed=1, epoch=epoch)
            batches += loader.evaluation_batches("validation", GEOMETRY, 2)
        return batches

    reference = everything(loaders[0])
    assert same(reference[:5], reference[-7:-2])  # epoch 0 is the same when it is repeated
    for loader in loaders[1:]:
        assert same(everything(loader), reference)


MIXING = Augment(mixup=0.4, cutmix=1.0, mix_probability=0.8)
MIXED = Augmentation(MIXING, GEOMETRY, seed=5, cycle=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("crop", ["random", "resized", "shift", "none"])
def test_images_kept_in_memory_are_varied_to_the_same_bits(index: DataIndex, crop: str):
    varied = replace(MIXING, crop=crop, jitter=0.4, erasing=0.5, padding=3)
    augmentation = Augmentation(varied, GEOMETRY, seed=5)  # type: ignore[arg-type]
    whole = 3 * sum(int(split.sizes.prod(axis=1).sum()) for split in index.splits.values())
    kept, tight, read = (Loader(index, index.root, 0, cache_bytes=size) for size in (2**20, whole, 0))
    assert (kept.cached, tight.cached, read.cached) == (True, True, False)
    expected = [b for epoch in (0, 1, 0) for b in read.training_batches(augmentation, 3, seed=1, epoch=epoch)]
    for loader in (kept, tight):
        assert same(
            [b for epoch in (0, 1, 0) for b in loader.training_batches(augmentation, 3, seed=1, epoch=epoch)], expected
        )


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_epoch_resumed_after_some_batches_has_the_rest_of_them(index: DataIndex, cache_bytes: int):
    loader = Loader(index, index.root, 0, cache_bytes)
    whole = list(loader.training_batches(MIXED, 3, seed=1, epoch=2))
    for done in range(len(whole) + 1):
        assert same(list(loader.training_batches(MIXED, 3, seed=1, epoch=2, done=done)), whole[done:])
    parts = [Part(number, 2) for number in range(2)]
    for done in (0, 1, 2, 3):
        halves = [list(loader.training_batches(MIXED, 4, 1, 2, drop_last=True, part=p, done=done)) for p in parts]
        expected = list(loader.training_batches(MIXED, 4, 1, 2, drop_last=True, done=done))
        assert [torch.cat([a.indices, b.indices]).tolist() for a, b in zip(*halves, strict=True)] == [
            batch.indices.tolist() for batch in expected
        ]
        assert len(expected) == 3 - done


def test_mixed_batches_are_the_same_with_1_and_3_workers_and_in_any_order(index: DataIndex):
    def everything(workers: int, batch_size: int, epochs: tuple[int, ...]) -> list[Batch]:
        with Loader(index, index.root, workers, cache_bytes=0) as loader:
            return [b for epoch in epochs for b in loader.training_batches(MIXED, batch_size, seed=1, epoch=epoch)]

    reference = everything(0, 3, (0, 1))
    assert same(everything(1, 3, (0, 1)), reference)
    assert same(everything(3, 3, (0, 1)), reference)

    def by_image(batches: list[Batch]) -> dict[int, tuple[bytes, int, float]]:
        found = {}
        for batch in batches:
            assert batch.partners is not None and batch.shares is not None
            for i, image, partner, share in zip(
                batch.indices.tolist(), batch.images, batch.partners.tolist(), batch.shares.tolist(), strict=True
            ):
                found[i] = (image.contiguous().numpy().tobytes(), partner, share)
        return found

    # Not which images are in a batch but (epoch, index) decides; after the cycle the same comes again.
    first = by_image(everything(0, 3, (0,)))
    assert by_image(everything(0, 13, (0,))) == first
    assert by_image(everything(0, 4, (2,))) == first != by_image(everything(0, 4, (1,)))


def test_mixed_image_is_made_of_both_augmented_images_and_has_both_labels(index: DataIndex):
    split = index.splits["train"]
    kinds = set()
    for batch in Loader(index, index.root).training_batches(MIXED, 4, seed=5, epoch=1):
        assert batch.partners is not None and batch.shares is not None
        for row, i in enumerate(batch.indices.tolist()):
            own = augmented(open_rgb(index.root / split.paths[i]), MIXING, GEOMETRY, 5, 1, i)
            mix = draw_mix(MIXING, 5, 1, i, len(split), 16)  # type: ignore[arg-type]
            image = batch.images[row].permute(1, 2, 0).numpy()
            assert batch.labels[row] == split.labels[i]
            if mix is None:
                kinds.add("plain")
                np.testing.assert_array_equal(image, own)
                assert batch.shares[row] == 1 and batch.partners[row] == split.labels[i]
                continue
            kinds.add("mixup" if mix.box is None else "cutmix")
            other = open_rgb(index.root / split.paths[mix.partner])
            partner = augmented(other, MIXING, GEOMETRY, 5, 1, mix.partner)
            np.testing.assert_array_equal(image, blended(mix, own, partner))
            assert batch.partners[row] == split.labels[mix.partner]
            assert batch.shares[row].item() == pytest.approx(mix.share)
    assert kinds == {"plain", "mixup", "cutmix"}


def test_without_mixing_a_batch_has_no_second_labels(index: DataIndex):
    off = Augmentation(Augment(mixup=0.4, cutmix=1.0, mix_probability=0.0), GEOMETRY, seed=5)
    plain = Augmentation(Augment(), GEOMETRY, seed=5)
    batches = [list(Loader(index, index.root).training_batches(each, 4, seed=5, epoch=0)) for each in (off, plain)]
    assert same(*batches)
    assert all(batch.partners is None and batch.shares is None for batch in batches[0])


@hypothesis_settings(deadline=None, max_examples=15)
@given(batch_size=st.integers(1, 20), epochs=st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_batch_size_and_order_of_epochs_change_no_image(loaded: Loader, batch_size: int, epochs: list[int]):
    for epoch in epochs:
        drawn = by_index(loaded.training_batches(AUGMENTATION, batch_size, seed=1, epoch=epoch))
        assert drawn == by_index(loaded.training_batches(AUGMENTATION, 5, seed=1, epoch=epoch))
        assert len(drawn) == 13


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    root = tmp_path_factory.mktemp("data")
    for number, folder in enumerate(("train/a", "train/b", "test/a", "test/b")):
        for i in range(8 + number % 2):
            write_image(root / folder / f"{i}.png", 100 * number + i)
    index = build_index(Data(root=str(root)))
    return Loader(index, index.root)


@hypothesis_settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 10_000), count=st.integers(1, 200))
def test_epoch_order_is_a_permutation_that_seed_and_epoch_fix(seed: int, epoch: int, count: int):
    order = epoch_order(seed, epoch, count)
    assert sorted(order.tolist()) == list(range(count))
    np.testing.assert_array_equal(order, epoch_order(seed, epoch, count))
    if count > 20:
        assert (order != epoch_order(seed, epoch + 1, count)).any()
        assert (order != epoch_order(seed + 1, epoch, count)).any()


def test_drop_last_leaves_out_what_does_not_fill_a_batch(index: DataIndex):
    loader = Loader(index, index.root)

    def sizes(batch_size: int) -> list[int]:
        batches = loader.training_batches(AUGMENTATION, batch_size, seed=0, epoch=0, drop_last=True)
        found = [len(batch.labels) for batch in batches]
        assert loader.steps_per_epoch(batch_size) == len(found)
        return found

    assert sizes(4) == [4, 4, 4]
    assert sizes(13) == [13]
    assert sizes(8) == [8]
    assert sizes(64) == [13]  # an epoch is never empty


def test_the_global_stream_of_torch_is_left_alone(index: DataIndex):
    for workers in (0, 1):
        torch.manual_seed(3)
        list(Loader(index, index.root, workers).evaluation_batches("test", GEOMETRY, 2))
        drawn = torch.rand(4)
        torch.manual_seed(3)
        assert torch.equal(drawn, torch.rand(4))


def test_auto_starts_no_process_where_everything_fits(index: DataIndex):
    pixels = sum(int(split.sizes.prod(axis=1).sum()) for split in index.splits.values())
    assert Loader(index, index.root, "auto", cache_bytes=3 * pixels).workers == 0
    assert 1 <= Loader(index, index.root, "auto", cache_bytes=3 * pixels - 1).workers <= 8


def test_cached_images_are_not_read_again(index: DataIndex):
    loader = Loader(index, index.root)
    before = by_index(loader.training_batches(AUGMENTATION, 4, seed=0, epoch=0))
    for path in index.splits["train"].paths:
        (index.root / path).unlink()
    assert by_index(loader.training_batches(AUGMENTATION, 4, seed=0, epoch=0)) == before


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("damage", ["gone", "broken", "other"])
def test_a_file_that_changes_after_indexing_is_named(index: DataIndex, workers: int, damage: str):
    path = index.root / index.splits["test"].paths[3]
    if damage == "gone":
        path.unlink()
    elif damage == "broken":
        path.write_bytes(path.read_bytes()[:100])
    else:
        write_image(path, 0, 50, 50)
    batches = Loader(index, index.root, workers).evaluation_batches("test", GEOMETRY, 2)
    assert next(batches).labels.tolist() == [0, 0]
    with pytest.raises(UnavailableError) as caught:
        list(batches)
    assert str(path) in caught.value.message
    assert "Traceback" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_abandoned_epoch_does_not_affect_the_next(index: DataIndex):
    loader = Loader(index, index.root, 2)
    expected = list(Loader(index, index.root, 0).training_batches(AUGMENTATION, 2, seed=0, epoch=1))
    abandoned = loader.training_batches(AUGMENTATION, 2, seed=0, epoch=0)
    next(abandoned)
    assert same(list(loader.training_batches(AUGMENTATION, 2, seed=0, epoch=1)), expected)
    with pytest.raises(RuntimeError, match="another sequence of batches"):
        next(abandoned)


def test_without_workers_sequences_may_interleave(index: DataIndex):
    loader = Loader(index, index.root, 0)
    expected = list(loader.training_batches(AUGMENTATION, 2, seed=0, epoch=0))
    batches = loader.training_batches(AUGMENTATION, 2, seed=0, epoch=0)
    first = next(batches)
    list(loader.evaluation_batches("validation", GEOMETRY, 2))
    assert same([first, *batches], expected)


class Deadly(Geometry):
    def apply(self, image: Image.Image) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


class Watched(Geometry):
    """Geometry that tells its own process to end before each image."""

    def apply(self, image: Image.Image) -> np.ndarray:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        return super().apply(image)


@pytest.mark.parametrize(("workers", "expected"), [(0, []), (1, [0])])
def test_freed_memory_is_given_back_once_and_before_processes_are_forked(
    index: DataIndex, monkeypatch: pytest.MonkeyPatch, workers: int, expected: list[int]
) -> None:
    forked: list[int] = []
    others = set(multiprocessing.active_children())  # of a loader that another test has left open
    monkeypatch.setattr(
        loading, "give_back_freed_memory", lambda: forked.append(len({*multiprocessing.active_children()} - others))
    )
    with Loader(index, index.root, workers=workers, cache_bytes=0) as loader:
        for epoch in (0, 1):
            list(loader.training_batches(AUGMENTATION, 4, seed=5, epoch=epoch))
    assert forked == expected


def test_freed_memory_is_given_back_every_few_batches_of_an_evaluation(
    index: DataIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    given_back: list[int] = []
    monkeypatch.setattr(loading, "_TRIMMED_EVERY", 2)
    monkeypatch.setattr(loading, "give_back_freed_memory", lambda: given_back.append(len(seen)))
    for batch in Loader(index, index.root, 0).evaluation_batches("train", GEOMETRY, 2):
        seen.append(len(batch.labels))
    assert seen == [2] * 6 + [1] and given_back == [2, 4, 6]


def test_workers_leave_the_signals_that_end_a_run_to_the_main_process(index: DataIndex):
    with Loader(index, index.root, 1) as loader:
        batches = list(loader.evaluation_batches("test", Watched(**vars(GEOMETRY)), 1))
        (worker,) = multiprocessing.active_children()
        worker.terminate()  # which comes from the main process
        worker.join(10)
        assert worker.exitcode == 0
    assert same(batches, list(Loader(index, index.root, 0).evaluation_batches("test", GEOMETRY, 1)))


def test_killed_worker_is_reported_with_the_remedy(index: DataIndex):
    batches = Loader(index, index.root, 1).evaluation_batches("test", Deadly(**vars(GEOMETRY)), 1)
    with pytest.raises(UnavailableError, match="killed") as caught:
        list(batches)
    assert "--set data.workers=0" in str(caught.value)


def test_image_that_changed_after_indexing_is_named(own_data: Run) -> None:
    vanished = own_data.data / "test" / CLASSES[2] / "05.png"
    draw(CLASSES[2], 5, size=40).save(vanished)  # another picture than the one that was indexed
    from pipeline.stages.shared.inputs import read_data
    from tests.pipeline.stages.contexts import context_of

    data = read_data(context_of(own_data))
    from exporters.core.errors import TmkdError

    with pytest.raises(TmkdError, match=r"05\.png"):
        list(data.loader.evaluation_batches("test", data.geometry, 64))
