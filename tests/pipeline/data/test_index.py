import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from exporters.core.errors import UnavailableError
from exporters.core.files import sha256_file
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index, read_listing
from pipeline.data.path_table import PathList, PathTable
from pipeline.data.readers import folder
from tests.pipeline.data.conftest import Data, write_folders, write_image

Settings = Callable[..., Data]


def paths(index: DataIndex) -> dict[str, list[str]]:
    return {name: list(split.paths) for name, split in index.splits.items()}


def test_index_holds_what_the_files_hold(folders: Path, settings: Settings):
    index = build_index(settings())
    assert {name: len(split) for name, split in index.splits.items()} == {"train": 13, "validation": 4, "test": 5}
    for split in index.splits.values():
        for i, path in enumerate(split.paths):
            assert split.sha256[i].tobytes().hex() == sha256_file(folders / path)
            assert tuple(split.sizes[i]) == Image.open(folders / path).size
            assert index.classes[split.labels[i]] == path.split("/")[1].replace("_", " ")
    summary = index.summary()
    assert summary["classes"] == 2
    assert summary["splits"]["train"] == {
        "images": 13, "smallest_class": 6, "largest_class": 7, "duplicates": 0
    }  # fmt: skip


def test_validation_comes_from_training_alone(folders: Path, settings: Settings):
    listing = read_listing(settings())
    index = build_index(settings())
    assert sorted(paths(index)["train"] + paths(index)["validation"]) == sorted(listing.splits["train"].paths)
    assert paths(index)["test"] == listing.splits["test"].paths
    other = build_index(settings(split_seed=1))
    assert paths(other)["validation"] != paths(index)["validation"]
    assert paths(other)["test"] == paths(index)["test"]


def test_a_validation_split_on_disk_is_kept(folders: Path, settings: Settings):
    write_folders(folders, {"val/teal": 2, "val/wood_duck": 1})
    index = build_index(settings())
    assert paths(index)["validation"] == ["val/teal/000.png", "val/teal/001.png", "val/wood_duck/000.png"]
    assert len(index.splits["train"]) == 17


def test_saved_and_loaded_is_the_same(folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory):
    index = build_index(settings())
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    index.save(one)
    build_index(settings(), workers=3).save(two)
    for name in ("index.npz", "index.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    loaded = DataIndex.load(one)
    assert loaded.fingerprint == index.fingerprint
    assert (loaded.root, loaded.classes, loaded.summary()) == (index.root, index.classes, index.summary())
    assert paths(loaded) == paths(index)
    for name, split in loaded.splits.items():
        for part in ("labels", "sha256", "sizes"):
            np.testing.assert_array_equal(getattr(split, part), getattr(index.splits[name], part))


def test_another_process_maps_the_same_file(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory
):
    saved = tmp_path_factory.mktemp("saved")
    built = build_index(settings())
    assert paths(pickle.loads(pickle.dumps(built))) == paths(built)
    built.save(saved)
    loaded = DataIndex.load(saved)
    sent = pickle.dumps(loaded)
    assert len(sent) < 500 and paths(pickle.loads(sent)) == paths(loaded)
    build_index(settings(split_seed=1)).save(saved)
    assert paths(loaded) == paths(built)  # what is mapped stays
    with pytest.raises(UnavailableError, match="replaced meanwhile"):
        pickle.loads(sent)


@pytest.mark.parametrize("name", ["index.npz", "index.json", "location.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_index_is_named(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory, name: str, damage: str
):
    saved = tmp_path_factory.mktemp("saved")
    build_index(settings()).save(saved)
    content = (saved / name).read_bytes()
    (saved / name).unlink()
    if damage != "missing":
        (saved / name).write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(UnavailableError, match="the data index cannot be read") as caught:
        DataIndex.load(saved)
    assert "--force data" in str(caught.value)


def test_an_index_that_was_edited_is_refused(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory
):
    saved = tmp_path_factory.mktemp("saved")
    build_index(settings()).save(saved)
    described = json.loads((saved / "index.json").read_text())
    described["classes"].reverse()
    (saved / "index.json").write_text(json.dumps(described))
    with pytest.raises(UnavailableError, match="fingerprint"):
        DataIndex.load(saved)


def test_fingerprint_covers_content_path_label_and_split_but_not_the_place(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory
):
    seen = [build_index(settings()).fingerprint]
    moved = tmp_path_factory.mktemp("moved") / "data"
    folders.rename(moved)
    assert build_index(settings(root=str(moved))).fingerprint == seen[0]

    def again() -> None:
        seen.append(build_index(settings(root=str(moved))).fingerprint)

    write_image(moved / "test/teal/000.png", 99)
    again()
    (moved / "test/teal/000.png").rename(moved / "test/teal/00.png")
    again()
    (moved / "test/teal/00.png").rename(moved / "test/wood_duck/00.png")
    again()
    seen.append(build_index(settings(root=str(moved), split_seed=1)).fingerprint)
    assert len(set(seen)) == 5


def break_images(root: Path) -> list[str]:
    """A cut file, an empty one, no image at all, and a very narrow one."""
    broken = ["train/teal/002.png", "train/teal/005.png", "train/wood_duck/001.png", "test/wood_duck/002.png"]
    content = (root / broken[0]).read_bytes()
    (root / broken[0]).write_bytes(content[: len(content) // 2])
    (root / broken[1]).write_bytes(b"")
    (root / broken[2]).write_text("no image")
    Image.new("RGB", (1, 50_000)).save(root / broken[3])
    return broken


def test_unreadable_images_fail_with_the_first_and_the_number(folders: Path, settings: Settings):
    broken = break_images(folders)
    with pytest.raises(UnavailableError) as caught:
        build_index(settings(image_size=200, resize_to=256))
    assert caught.value.exit_code == 4
    assert str(folders / broken[0]) in caught.value.message
    assert "3 more" in caught.value.message
    assert "--set data.on_error=skip" in str(caught.value)


def test_skipping_leaves_out_exactly_the_unreadable_ones(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory
):
    broken = break_images(folders)
    index = build_index(settings(on_error="skip", image_size=200, resize_to=256))
    assert sorted(file.path for file in index.skipped) == sorted(broken)
    assert all(str(folders / file.path) in file.reason for file in index.skipped)
    everything = {path for split in paths(index).values() for path in split}
    assert everything == {path.relative_to(folders).as_posix() for path in folders.rglob("*.png")} - set(broken)
    saved = tmp_path_factory.mktemp("saved")
    index.save(saved)
    assert DataIndex.load(saved).skipped == index.skipped


@pytest.mark.parametrize(
    ("emptied", "message"),
    [
        (["test/teal"], "class 'teal' has no image left in the test split"),
        (["train/teal"], "class 'teal' has no image left in the train split"),
    ],
)
def test_skipping_must_leave_every_class(folders: Path, settings: Settings, emptied: list[str], message: str):
    for folder_name in emptied:
        for path in (folders / folder_name).iterdir():
            path.write_bytes(b"")
    with pytest.raises(UnavailableError, match=message):
        build_index(settings(on_error="skip"))


def test_skipping_down_to_one_image_names_the_class(folders: Path, settings: Settings):
    for path in sorted((folders / "train/teal").iterdir())[1:]:
        path.write_bytes(b"")
    with pytest.raises(UnavailableError, match="class 'teal' has 1 training image"):
        build_index(settings(on_error="skip"))


def test_a_file_that_is_gone_again_is_named(folders: Path, settings: Settings):
    listing = folder.read(folders, settings())
    (folders / "test/teal/001.png").unlink()
    with pytest.raises(UnavailableError, match=r"test/teal/001\.png"):
        build_index(settings(), listing=listing)


def test_progress_is_told_to_the_end(folders: Path, settings: Settings):
    told: list[tuple[int, int]] = []
    build_index(settings(), progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 22) for i in range(1, 23)]


@hypothesis_settings(deadline=None, max_examples=100)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12)))
def test_path_table_gives_back_the_paths(texts: list[str]):
    texts = [*texts, "not UTF-8 \udcff"]
    table = PathTable.of(texts)
    growing = PathList(texts[:1])
    growing.extend(texts[1:])
    assert growing == table == texts and growing != texts[1:] and table + texts == texts + texts
    packed = growing.table()
    assert packed == texts
    with pytest.raises(BufferError):
        growing.append("more while its arrays are in use")
    assert growing == texts
    assert list(table) == texts
    assert table[1:] == texts[1:]
    assert table[-1] == texts[-1]
    with pytest.raises(IndexError):
        table[len(texts)]
