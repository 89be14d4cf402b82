"""Images are found once, prepared once if memory allows, and never used for both calibration and proof."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exporters.command.images import GENERATED, ImageFolder, ProofImages, check_apart, draw, prepared_batches, spread
from exporters.core.errors import UnavailableError, UsageError
from exporters.images.decoding import UnreadableImageError, open_rgb
from exporters.images.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
LABELS = ["wren", "owl"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(70):
        place = tmp_path / "images" / LABELS[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 33 + index, 3), 3 * index, np.uint8)).save(place / f"{index:02}.PNG")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_folders_of_classes_label_what_is_inside(folder: Path) -> None:
    images = ProofImages(ImageFolder(folder), LABELS, PREPROCESSING)
    assert (len(images), images.source) == (70, "folder")
    batches = list(images.batches())
    assert [len(batch[0]) for batch in batches] == [32, 32, 6]
    names = [name for _, _, batch in batches for name in batch]
    assert names == sorted(names) and names[0] == "owl/01.PNG"
    for pixels, labels, of_batch in batches:
        assert labels is not None and pixels.dtype == np.uint8 and pixels.shape[1:] == (32, 32, 3)
        assert [LABELS[label] for label in labels] == [name.split("/")[0] for name in of_batch]
    assert int(batches[0][0][0, 0, 0, 0]) == 3  # of owl/01
    for (name, image, label), whole in zip(images.opened(), names, strict=True):
        assert name == whole and image.size[1] == 40 and label is not None


def test_images_beside_class_folders_are_left_out_as_in_training(folder: Path) -> None:
    shutil.copy(folder / "owl" / "01.PNG", folder / "stray.png")
    images = ProofImages(ImageFolder(folder), LABELS, PREPROCESSING)
    assert len(images) == len(images.paths) == 70 and images.unlabelled is None
    assert images.notes[-1] == "images beside the class folders are left out: 1 (stray.png)"


def test_one_unlabelled_image_leaves_all_unlabelled(folder: Path) -> None:
    shutil.copy(folder / "owl" / "01.PNG", folder / "stray.png")
    (folder / "wren").rename(folder / "zzz")
    images = ProofImages(ImageFolder(folder), LABELS, PREPROCESSING)
    assert len(images) == 71
    assert all(labels is None for _, labels, _ in images.batches())
    assert all(label is None for _, _, label in images.opened())
    assert images.unlabelled == "stray.png is in no folder of a class"
    (folder / "stray.png").unlink()
    images = ProofImages(ImageFolder(folder), LABELS, PREPROCESSING)
    assert images.unlabelled == "no label has the name of the folder 'zzz'"


def test_underscores_in_names_of_folders_are_spaces(folder: Path) -> None:
    (folder / "owl").rename(folder / "snowy_owl")
    images = ProofImages(ImageFolder(folder), ["wren", "snowy owl"], PREPROCESSING)
    assert images.unlabelled is None and all(labels is not None for _, labels, _ in images.batches())
    for labels in (["wren", "snowy owl", "snowy_owl"], ["snowy_owl", "wren", "snowy owl"]):
        _, found, _ = next(ProofImages(ImageFolder(folder), labels, PREPROCESSING).batches())
        assert found is not None and {labels[place] for place in found[:20]} == {"snowy_owl"}
    images = ProofImages(ImageFolder(folder), LABELS, PREPROCESSING)
    assert images.unlabelled == "no label has the name of the folder 'snowy_owl'"


@pytest.mark.parametrize("memory", [0, 33 * 32 * 32 * 3, 2**29])
def test_every_call_gives_the_same_batches(folder: Path, monkeypatch: pytest.MonkeyPatch, memory: int) -> None:
    monkeypatch.setattr("exporters.command.images._MEMORY", memory)
    opened: list[Path] = []

    def counting(path: Path) -> Image.Image:
        opened.append(path)
        return open_rgb(path)

    monkeypatch.setattr("exporters.command.images.open_rgb", counting)
    images = ProofImages(ImageFolder(folder), LABELS, PREPROCESSING)
    first, half = images.batches(), images.batches()
    next(half)
    found = [list(first), [*images.batches()]]
    assert [names for _, _, names in found[0]] == [names for _, _, names in found[1]]
    assert all(np.array_equal(one[0], other[0]) for one, other in zip(*found, strict=True))
    kept = {0: 0, 33 * 32 * 32 * 3: 32, 2**29: 70}[memory]
    assert len(opened) <= 32 + 70 + (70 - kept) and len(set(opened)) == 70


def test_images_are_generated_without_a_folder() -> None:
    images = ProofImages(None, LABELS, PREPROCESSING)
    assert (len(images), images.source, images.paths) == (GENERATED, "generated", ())
    assert sum(len(batch[0]) for batch in images.batches()) == GENERATED
    assert np.array_equal(np.asarray(draw(3)), np.asarray(draw(3))) and draw(3).size != draw(4).size
    assert images.some(16).shape == (16, 32, 32, 3)


def test_few_images_are_repeated(folder: Path) -> None:
    for path in ImageFolder(folder).paths[3:]:
        path.unlink()
    some = ProofImages(ImageFolder(folder), LABELS, PREPROCESSING).some(16)
    assert some.shape == (16, 32, 32, 3) and np.array_equal(some[0], some[3])


@given(total=st.integers(1, 2000), count=st.integers(1, 2000))
@settings(deadline=None, max_examples=60)
def test_spread_indices_are_evenly_spaced(total: int, count: int) -> None:
    found = spread(total, count)
    assert len(found) == min(total, count) and found == sorted(set(found))
    assert found[0] == 0 and found[-1] < total
    steps = np.diff([*found, total])
    assert steps.max() - steps.min() <= 1


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UnavailableError, match="no images here") as caught:
            ImageFolder(path)
        assert str(path) in caught.value.message and caught.value.remedy


def test_an_unreadable_image_is_named(folder: Path) -> None:
    (folder / "owl" / "zz.jpg").write_bytes(b"\xff\xd8\xff no more")
    with pytest.raises(UnreadableImageError, match=r"zz\.jpg"):
        list(ProofImages(ImageFolder(folder), LABELS, PREPROCESSING).batches())
    with pytest.raises(UnreadableImageError, match=r"zz\.jpg"):
        list(prepared_batches([folder / "owl" / "zz.jpg"], PREPROCESSING))


def test_same_image_cannot_both_calibrate_and_prove(folder: Path, tmp_path: Path) -> None:
    paths = ImageFolder(folder).paths
    check_apart(paths[:35], paths[35:])
    copy = tmp_path / "elsewhere.png"
    shutil.copy(paths[40], copy)
    with pytest.raises(UnavailableError, match="1 of the images to prove on") as caught:
        check_apart([*paths[:35], copy], paths[35:])
    assert f"{copy} = {paths[40]}" in caught.value.message
    with pytest.raises(UnavailableError, match="and 65 more"):
        check_apart(paths, paths)
    changed = bytearray(copy.read_bytes())
    changed[-1] ^= 1  # as large, and another file
    copy.write_bytes(changed)
    check_apart([copy], paths)


def test_each_purpose_takes_its_own_split(folder: Path) -> None:
    for split in ("Training", "valid"):
        for name in LABELS:
            shutil.copytree(folder / name, folder / "set" / split / name)
    proof, calibration = ImageFolder(folder / "set"), ImageFolder(folder / "set", "calibration")
    assert (proof.folder.name, len(proof.paths)) == ("valid", 70)
    assert (calibration.folder.name, len(calibration.paths)) == ("Training", 70)
    assert ProofImages(proof, LABELS, PREPROCESSING).unlabelled is None
    assert proof.notes() == [f"the images of proof are those of {folder}/set/valid"]
    shutil.rmtree(folder / "set" / "valid")
    with pytest.raises(UsageError, match="neither test/ nor val/"):
        ImageFolder(folder / "set")
    assert len(ImageFolder(folder / "set", "calibration").paths) == 70


def test_hidden_files_and_editor_copies_are_left_out_and_reported(folder: Path) -> None:
    before = ImageFolder(folder).paths
    shutil.copytree(folder / "owl", folder / "owl" / ".ipynb_checkpoints")
    (folder / "owl" / "._x.png").write_bytes(b"x")
    found = ImageFolder(folder)
    assert found.paths == before
    (note,) = found.notes()
    assert "1 .ipynb_checkpoints/ (owl/.ipynb_checkpoints), 1 .txt (notes.txt), 1 hidden file (owl/._x.png)" in note
