from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from exporters.core.errors import UnavailableError
from exporters.core.files import sha256_file
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index, read_listing
from pipeline.data.readers import folder
from tests.pipeline.data.conftest import Data, write_folders

Settings = Callable[..., Data]


def paths(index: DataIndex) -> dict[str, list[str]]:
    return {name: list(split.paths) for name, split in index.splits.items()}


def test_index_matches_the_files(folders: Path, settings: Settings):
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


def test_validation_is_split_from_training_alone(folders: Path, settings: Settings):
    listing = read_listing(settings())
    index = build_index(settings())
    assert sorted(paths(index)["train"] + paths(index)["validation"]) == sorted(listing.splits["train"].paths)
    assert paths(index)["test"] == listing.splits["test"].paths
    other = build_index(settings(split_seed=1))
    assert paths(other)["validation"] != paths(index)["validation"]
    assert paths(other)["test"] == paths(index)["test"]


def test_validation_split_on_disk_is_kept(folders: Path, settings: Settings):
    write_folders(folders, {"val/teal": 2, "val/wood_duck": 1})
    index = build_index(settings())
    assert paths(index)["validation"] == ["val/teal/000.png", "val/teal/001.png", "val/wood_duck/000.png"]
    assert len(index.splits["train"]) == 17


def break_images(root: Path) -> list[str]:
    """A cut file, an empty one, no image at all, and a very narrow one."""
    broken = ["train/teal/002.png", "train/teal/005.png", "train/wood_duck/001.png", "test/wood_duck/002.png"]
    content = (root / broken[0]).read_bytes()
    (root / broken[0]).write_bytes(content[: len(content) // 2])
    (root / broken[1]).write_bytes(b"")
    (root / broken[2]).write_text("no image")
    Image.new("RGB", (1, 50_000)).save(root / broken[3])
    return broken


def test_unreadable_images_fail_with_the_first_and_the_count(folders: Path, settings: Settings):
    broken = break_images(folders)
    with pytest.raises(UnavailableError) as caught:
        build_index(settings(image_size=200, resize_to=256))
    assert caught.value.exit_code == 4
    assert str(folders / broken[0]) in caught.value.message
    assert "3 more" in caught.value.message
    assert "--set data.on_error=skip" in str(caught.value)


def test_skip_leaves_out_exactly_the_unreadable_images(
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
def test_skip_must_leave_an_image_of_every_class(folders: Path, settings: Settings, emptied: list[str], message: str):
    for folder_name in emptied:
        for path in (folders / folder_name).iterdir():
            path.write_bytes(b"")
    with pytest.raises(UnavailableError, match=message):
        build_index(settings(on_error="skip"))


def test_skip_that_leaves_one_image_names_the_class(folders: Path, settings: Settings):
    for path in sorted((folders / "train/teal").iterdir())[1:]:
        path.write_bytes(b"")
    with pytest.raises(UnavailableError, match="class 'teal' has 1 training image"):
        build_index(settings(on_error="skip"))


def test_file_that_vanished_after_listing_is_named(folders: Path, settings: Settings):
    listing = folder.read(folders, settings())
    (folders / "test/teal/001.png").unlink()
    with pytest.raises(UnavailableError, match=r"test/teal/001\.png"):
        build_index(settings(), listing=listing)


def test_progress_is_reported_for_every_image(folders: Path, settings: Settings):
    steps: list[tuple[int, int]] = []
    build_index(settings(), progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i, 22) for i in range(1, 23)]
