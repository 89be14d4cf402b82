import os
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from exporters.images.outputs import write_marker
from pipeline.data.listing import Listing
from pipeline.data.readers.folder import read
from tests.pipeline.data.conftest import Data, write_folders, write_image

SETTINGS = Data()


def counts(listing: Listing) -> dict[str, int]:
    return {name: len(split) for name, split in listing.splits.items()}


def test_train_and_test_folders(folders: Path):
    listing = read(folders, SETTINGS)
    assert listing.classes == ["teal", "wood duck"]
    assert counts(listing) == {"train": 17, "test": 5}
    assert listing.splits["test"].paths[0] == "test/teal/000.png"
    for split in listing.splits.values():
        for path, label in zip(split.paths, split.labels, strict=True):
            assert path.split("/")[1].replace("_", " ") == listing.classes[label]


def test_val_is_the_test_split_where_there_is_no_test(tmp_path: Path):
    write_folders(tmp_path, {"train/a": 3, "train/b": 3, "val/a": 1, "val/b": 2})
    listing = read(tmp_path, SETTINGS)
    assert counts(listing) == {"train": 6, "test": 3}
    assert all(path.startswith("val/") for path in listing.splits["test"].paths)


def test_val_is_the_validation_split_where_there_is_a_test(folders: Path):
    write_folders(folders, {"val/teal": 2, "val/wood_duck": 2})
    listing = read(folders, SETTINGS)
    assert counts(listing) == {"train": 17, "validation": 4, "test": 5}


def test_plain_class_folders_get_a_test_split(tmp_path: Path):
    write_folders(tmp_path, {"a": 8, "b": 12, "c": 3})
    listing = read(tmp_path, SETTINGS)
    assert [listing.splits["test"].labels.count(label) for label in range(3)] == [2, 3, 1]
    assert sorted(listing.splits["train"].paths + listing.splits["test"].paths) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")
    )
    assert read(tmp_path, Data(split_seed=1)).splits["test"] != listing.splits["test"]


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_class_may_be_called_like_a_split(tmp_path: Path, name: str):
    write_folders(tmp_path, {name: 4, "car": 4})
    assert read(tmp_path, SETTINGS).classes == sorted([name, "car"])


def test_classes_may_be_called_train_and_test(tmp_path: Path):
    write_folders(tmp_path, {"train": 4, "test": 4})
    listing = read(tmp_path, SETTINGS)
    assert listing.classes == ["test", "train"]
    assert counts(listing) == {"train": 6, "test": 2}


def test_a_class_name_that_is_not_utf8_is_named(tmp_path: Path):
    write_folders(tmp_path, {"train/a": 1, "test/a": 1})
    for split in ("train", "test"):
        write_image(tmp_path / split / os.fsdecode(b"caf\xe9") / "0.png", 0)
    with pytest.raises(UnavailableError, match="not valid UTF-8"):
        read(tmp_path, SETTINGS)


def test_folders_below_a_class_folder_belong_to_the_class(tmp_path: Path):
    write_folders(tmp_path, {"train/a/images": 2, "train/a/more/deep": 1, "train/b": 3, "test/a": 1, "test/b": 1})
    listing = read(tmp_path, SETTINGS)
    assert listing.classes == ["a", "b"]
    assert listing.splits["train"].labels == [0, 0, 0, 1, 1, 1]


def test_other_files_and_hidden_ones_are_counted_and_named(folders: Path):
    (folders / "train/teal/notes.txt").write_text("x")
    (folders / "train/teal/Thumbs.DB").write_text("x")
    (folders / "train/teal/.hidden.png").write_text("x")
    (folders / "train/.git").mkdir()
    (folders / "train/README").write_text("x")
    (folders / "train/teal/LOUD.JPG").write_text("x")
    (folders / "train/teal/gone.png").symlink_to(folders / "nowhere.png")
    for name in ("train/teal/.ipynb_checkpoints/000-checkpoint.png", "train/__MACOSX/teal/._000.png"):
        write_image(folders / name, 0)
    (folders / "masks").mkdir()
    listing = read(folders, SETTINGS)
    assert listing.ignored == {
        ".txt": 1, ".db": 1, "file outside a class folder": 1, "hidden file": 1, "hidden folder": 1, "dead link": 1,
        ".ipynb_checkpoints/": 1, "__MACOSX/": 1, "folder beside the splits": 1,
    }  # fmt: skip
    assert listing.examples["dead link"] == "train/teal/gone.png" and listing.examples[".txt"] == "train/teal/notes.txt"
    assert counts(listing) == {"train": 18, "test": 5}
    assert "train/teal/LOUD.JPG" in listing.splits["train"].paths


def test_order_does_not_depend_on_the_order_of_creation(tmp_path: Path):
    for name in ("z.png", "a.png", "m.png"):
        write_image(tmp_path / "one" / "train/a" / name, 0)
    for name in ("a.png", "m.png", "z.png"):
        write_image(tmp_path / "two" / "train/a" / name, 0)
    for root in ("one", "two"):
        write_folders(tmp_path / root, {"train/b": 2, "test/a": 1, "test/b": 1})
    assert read(tmp_path / "one", SETTINGS).splits == read(tmp_path / "two", SETTINGS).splits


def test_links_within_the_data_set_are_followed(folders: Path):
    (folders / "train/teal/again.png").symlink_to(folders / "train/teal/000.png")
    assert "train/teal/again.png" in read(folders, SETTINGS).splits["train"].paths


@pytest.mark.parametrize("where", ["train/teal/link.png", "train/teal/link"])
def test_links_to_another_disk_are_followed_and_reported(
    folders: Path, tmp_path_factory: pytest.TempPathFactory, where: str
):
    outside = write_folders(tmp_path_factory.mktemp("outside"), {"x": 1})
    (folders / where).symlink_to(outside / "x/000.png" if where.endswith("png") else outside / "x")
    listing = read(folders, SETTINGS)
    assert counts(listing) == {"train": 18, "test": 5}
    (note,) = listing.notes
    assert "1 link out of" in note and where in note and str(outside) in note


def test_class_and_split_folders_may_be_links(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory):
    outside = write_folders(tmp_path_factory.mktemp("outside"), {"a": 1, "b": 1, "c": 2})
    write_folders(tmp_path, {"train/a": 2})
    (tmp_path / "train/b").symlink_to(outside / "c")
    (tmp_path / "test").mkdir()
    for name in "ab":
        (tmp_path / "test" / name).symlink_to(outside / name)
    assert counts(read(tmp_path, SETTINGS)) == {"train": 4, "test": 2}


def test_a_loop_of_links_ends(folders: Path):
    (folders / "train/teal/loop").symlink_to(folders / "train")
    with pytest.raises(UnavailableError, match="loop"):
        read(folders, SETTINGS)


def test_an_empty_class_folder_is_named(folders: Path):
    (folders / "train/smew").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (folders / "train" / name).write_text("x")
    with pytest.raises(UnavailableError, match=r"train/smew: the class folder has no images") as caught:
        read(folders, SETTINGS)
    assert caught.value.exit_code == 4 and "2 files outside a class folder" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("folder", ["train/smew", "test/smew"])
def test_splits_must_have_the_same_classes(folders: Path, folder: str):
    write_folders(folders, {folder: 2})
    with pytest.raises(UnavailableError, match=rf"{folder}: the class has no folder in"):
        read(folders, SETTINGS)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"train/a": 2, "train/b": 2}, "neither test/ nor val/"),
        ({"test/a": 2, "test/b": 2}, "has test/ but no train/"),
        ({"train/a": 2, "test/a": 2}, "at least 2"),
        ({"a_b": 3, "a b": 3}, "reads the same"),
        ({"a": 3, "b": 1}, "class 'b' has 1 training image"),
        ({"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1, "val/a": 1, "valid/a": 1}, "both val/ and valid/"),
        ({}, "has no class folders"),
    ],
)
def test_other_layouts_are_refused(tmp_path: Path, made: dict[str, int], message: str):
    with pytest.raises(UnavailableError, match=message):
        read(write_folders(tmp_path, made), SETTINGS)


def test_a_train_folder_without_classes_is_named(tmp_path: Path):
    write_folders(tmp_path, {"test/a": 1, "test/b": 1})
    (tmp_path / "train").mkdir()
    with pytest.raises(UnavailableError, match="train: has no class folders"):
        read(tmp_path, SETTINGS)


@pytest.mark.skipif(os.geteuid() == 0 and os.name == "posix", reason="root reads everything")
def test_a_folder_that_cannot_be_listed_is_named(folders: Path):
    (folders / "train/teal").chmod(0)
    try:
        with pytest.raises(UnavailableError, match="teal: cannot be listed"):
            read(folders, SETTINGS)
    finally:
        (folders / "train/teal").chmod(0o755)


@pytest.mark.parametrize("root", [None, Path("no/such/folder")])
def test_missing_root_is_named_with_a_remedy(root: Path | None):
    with pytest.raises(UnavailableError, match=r"data\.root") as caught:
        read(root, SETTINGS)
    assert "--set data.root=" in str(caught.value)


SPELLINGS = [
    ("Train", "Test"), ("TRAIN", "VAL"), ("training", "testing"), ("training_set", "test_set"), ("train", "valid"),
    ("Training Set", "Validation-Set"), ("trn", "dev"), ("seg_train", "seg_test"), ("train_images", "test_images"),
    ("01_train", "02_test"), ("train2017", "val2017"), ("train-flowers", "test-flowers"), ("Training", "Evaluation"),
]  # fmt: skip


@pytest.mark.parametrize(("train", "test"), SPELLINGS)
def test_common_split_names_are_recognised(tmp_path: Path, train: str, test: str):
    write_folders(tmp_path, {f"{split}/{name}": 2 for split in (train, test) for name in ("cat", "dog")})
    listing = read(tmp_path, SETTINGS)
    assert listing.classes == ["cat", "dog"] and counts(listing) == {"train": 4, "test": 4}
    assert all(path.startswith(f"{test}/") for path in listing.splits["test"].paths)


def test_splits_in_subfolders_and_doubled_folders_are_found(tmp_path: Path):
    made = {f"set/{split}/{split}/{name}": 2 for split in ("Training", "Test") for name in ("cat", "dog")}
    listing = read(write_folders(tmp_path, made), SETTINGS)
    assert listing.classes == ["cat", "dog"] and counts(listing) == {"train": 4, "test": 4}
    assert listing.splits["train"].paths[0] == "set/Training/Training/cat/000.png"
    assert listing.notes == [f"the splits are those of {tmp_path}/set"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({f"{a}/{b}": 1 for a in ("train", "Training", "test") for b in "xy"}, "has both Training/ and train/"),
        ({f"{a}/{b}": 1 for a in ("train", "test", "testing") for b in "xy"}, "has both test/ and testing/"),
        (
            {f"{a}/{b}": 1 for a in ("lehren", "pruefen") for b in "xyz"},
            "lehren/, pruefen/ all hold the same folders, x/",
        ),
        ({f"{a}/{b}": 1 for a in ("cat", "dog") for b in ("train", "test")}, "cat/, dog/ all hold the same folders"),
        ({f"{a}/{b}": 1 for a in ("images", "labels") for b in ("train", "val")}, "all hold the same folders"),
        ({"set/train/x": 1, "set/test/x": 1, "extra/x": 1}, "set/ holds test/, train/, so that the folders here"),
        ({"photos/cat": 2, "photos/dog": 2}, "has one folder, photos/, which holds cat/, dog/"),
        ({f"{a}_{b}": 2 for a in ("cat", "dog") for b in ("train", "test")}, "has cat_train/ and dog_train/"),
        ({"Train/x": 1, "Train/y": 1}, "has Train/ but neither test/ nor val/"),
        ({f"{a}/{b}/{c}": 1 for a in ("train", "test") for b in "xy" for c in ("k1", "k2")}, "all hold the same"),
    ],
)
def test_other_layouts_are_refused_with_the_one_that_is_expected(tmp_path: Path, made: dict[str, int], message: str):
    with pytest.raises(UnavailableError, match=message) as caught:
        read(write_folders(tmp_path, made), SETTINGS)
    assert caught.value.remedy and (
        "train/<class>" in caught.value.remedy or caught.value.remedy.startswith("keep one of them")
    )


def test_folders_shared_by_a_few_classes_are_accepted(tmp_path: Path):
    made = {f"{name}/images": 4 for name in ("cat", "dog")} | {"owl/images": 4, "owl/old": 4, "owl/test": 1}
    assert read(write_folders(tmp_path, made), SETTINGS).classes == ["cat", "dog", "owl"]


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_a_class_in_two_unicode_forms_is_one_class(tmp_path: Path):
    made = {f"train/{NFC}": 2, f"train/{NFD}": 3, "train/tea": 2, f"test/{NFD}": 1, "test/tea": 1}
    listing = read(write_folders(tmp_path, made), SETTINGS)
    assert listing.classes == [NFD, "tea"]  # as it is on disk, the first of both
    assert listing.splits["train"].labels == [0] * 5 + [1] * 2 and listing.splits["test"].labels == [0, 1]
    assert listing.notes == [f"{tmp_path}/train: {NFC!r} stands there in two Unicode forms, which are one class"]
    made = {NFC: 4, NFD: 4, "tea": 4}
    listing = read(write_folders(tmp_path / "plain", made), SETTINGS)
    labels = [label for split in listing.splits.values() for label in split.labels]
    assert len(listing.classes) == 2 and (labels.count(0), labels.count(1)) == (8, 4)


def test_the_data_sets_folder_is_found_in_another_unicode_form(tmp_path: Path):
    write_folders(tmp_path / NFD / "x", {"a": 4, "b": 4})
    assert read(tmp_path / NFC / "x", SETTINGS).root == tmp_path / NFD / "x"


def test_classes_that_differ_only_in_case_are_reported(tmp_path: Path):
    listing = read(write_folders(tmp_path, {"Cat": 4, "cat": 4, "dog": 4}), SETTINGS)
    assert len(listing.classes) == 3
    (doubt,) = listing.doubts()
    assert "'Cat' and 'cat' differ in case or blanks alone" in doubt
    with pytest.raises(UnavailableError, match=r"Cat: the class has no folder in .*test, but 'cat', which differs in"):
        read(write_folders(tmp_path / "split", {"train/Cat": 1, "train/x": 1, "test/cat": 1, "test/x": 1}), SETTINGS)


def test_classes_that_differ_in_blanks_alone_are_refused(tmp_path: Path):
    with pytest.raises(UnavailableError, match="reads the same as"):
        read(write_folders(tmp_path, {"cat": 4, "cat ": 4, "dog": 4}), SETTINGS)


def test_folders_written_by_the_tool_are_ignored(tmp_path: Path):
    write_folders(tmp_path, {"cat": 4, "dog": 4})
    before = read(tmp_path, SETTINGS)
    write_image(tmp_path / "inspect/folder.png", 0)
    write_marker(tmp_path / "inspect")
    write_image(tmp_path / "runs/x-compare/compare.png", 0)
    for name in ("compare.json", "compare.md", "runs/ce/seed-0/recipe.lock.yaml"):
        (tmp_path / "runs/x-compare" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs/x-compare" / name).touch()
    (tmp_path / "runs/my/stages").mkdir(parents=True)
    (tmp_path / "runs/my/recipe.lock.yaml").touch()
    (tmp_path / "mine").mkdir()
    for name in ("model.onnx", "preprocess.json", "labels.json"):
        (tmp_path / "mine" / name).touch()
    listing = read(tmp_path, SETTINGS)
    assert (listing.classes, listing.splits) == (before.classes, before.splits)
    assert listing.ignored == {"folder written by tmkd-pipeline": 3}
    (tmp_path / "runs/notes").mkdir()
    (tmp_path / "runs/notes/todo.txt").touch()
    assert read(tmp_path, SETTINGS).splits == before.splits


def test_exported_files_do_not_hide_a_class_folder(tmp_path: Path):
    write_folders(tmp_path, {"cat": 4, "dog": 4})
    before = read(tmp_path, SETTINGS)
    for name in ("model.onnx", "preprocess.json", "labels.json"):
        (tmp_path / "cat" / name).touch()
    assert read(tmp_path, SETTINGS).splits == before.splits


def test_validation_split_used_as_test_split_is_reported(tmp_path: Path) -> None:
    write_folders(tmp_path, {"train/a": 3, "train/b": 3, "valid/a": 1, "valid/b": 2})
    (note,) = read(tmp_path, Data()).notes
    assert note == "there is no test split, so that valid is taken for it; validation is split from training"
    write_folders(tmp_path, {"test/a": 1, "test/b": 1})
    assert read(tmp_path, Data()).notes == []


def test_differing_unicode_forms_between_splits_are_reported(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    write_folders(tmp_path, {f"train/{composed}": 2, "train/tea": 2, f"test/{decomposed}": 1, "test/tea": 1})
    listing = read(tmp_path, Data())
    assert len(listing.classes) == 2
    (note,) = listing.notes
    assert note.startswith(f"{tmp_path / 'test' / decomposed}: written in another Unicode form than in")


def test_folder_of_one_class_is_told_from_an_empty_one(tmp_path: Path):
    photos = write_folders(tmp_path / "photos", {"cat": 3, "dog": 3})
    with pytest.raises(UnavailableError, match="has no class folders, but 3 images in itself") as caught:
        read(photos / "cat", SETTINGS)
    assert str(caught.value).count(str(photos)) >= 2 and "train DIR" in str(caught.value.remedy)
