"""`verify --data`: the accuracy measured again, and held against what the bundle says."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporters.bundle.accuracy import AccuracyReport, verify_accuracy
from exporters.bundle.contents import BundleContents, ShippedModel
from exporters.bundle.pack import pack
from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.images.decoding import UnreadableImageError
from exporters.images.labelled import labelled_images
from tests.exporters.conftest import LABELS, Exported

SIDE = 32


@pytest.fixture(scope="module")
def photos(cifar: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 20 images under what the student says, but for five of them."""
    root = tmp_path_factory.mktemp("photos")
    said = cifar.logits.argmax(axis=1)
    for index, (pixels, label) in enumerate(zip(cifar.images, said, strict=True)):
        wrong = index % 4 == 3
        folder = root / "test" / LABELS[(label + wrong) % len(LABELS)]
        folder.mkdir(parents=True, exist_ok=True)
        # 36 pixels, of which the preprocessing crops the middle 32.
        Image.fromarray(np.pad(pixels, ((2, 2), (2, 2), (0, 0)))).save(folder / f"{index}.png")
    return root


def digest_of(root: Path) -> str:
    """By hand, as the JSON Schema of the manifest describes it."""
    lines = sorted(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()} {json.dumps(path.parent.name)}\n"
        for path in root.rglob("*.png")
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def bundle_that_says(contents: BundleContents, out: Path, correct: int, sha256: str, images: int = 20) -> Path:
    results = {"test": {"images": images, "correct": correct, "sha256": sha256, "per_class": {}}}
    per_class = {label: {"images": 0, "correct": 0} for label in LABELS}
    results["test"]["per_class"] = per_class
    facts = dataclasses.replace(contents.facts, results=results)
    pack(dataclasses.replace(contents, facts=facts), out)
    return out


def measured(bundle: Path, data: Path) -> tuple[str | None, int]:
    report = verify_accuracy(bundle, verify_bundle(bundle).manifest, data)
    return report.split, report.correct["model.onnx"]


def test_images_of_a_split_are_recognised(contents: BundleContents, photos: Path, tmp_path: Path) -> None:
    sha256 = digest_of(photos)
    right = bundle_that_says(contents, tmp_path / "right", 15, sha256)
    assert measured(right, photos) == ("test", 15) == measured(right, photos / "test")
    report = verify_accuracy(right, verify_bundle(right).manifest, photos)
    assert "exactly those of the test split" in report.describe() and "0.7500" in report.describe()
    by_one = bundle_that_says(contents, tmp_path / "by one", 16, sha256)
    assert measured(by_one, photos) == ("test", 15)
    for count in (13, 17):
        wrong = bundle_that_says(contents, tmp_path / f"wrong {count}", count, sha256)
        with pytest.raises(GateError, match=f"15 of the 20 test images rightly, the bundle says {count}") as caught:
            measured(wrong, photos)
        assert caught.value.exit_code == 3


def test_other_images_fail_only_beyond_chance(contents: BundleContents, photos: Path, tmp_path: Path) -> None:
    near = bundle_that_says(contents, tmp_path / "near", 900, "0" * 64, images=1000)
    assert measured(near, photos) == (None, 15)
    far = bundle_that_says(contents, tmp_path / "far", 999, "0" * 64, images=1000)
    with pytest.raises(GateError, match=r"below the 0\.9990"):
        measured(far, photos)


def test_variant_that_loses_too_much_is_refused(contents: BundleContents, photos: Path, tmp_path: Path) -> None:
    bundle = bundle_that_says(contents, tmp_path / "bundle", 15, digest_of(photos))
    manifest = verify_bundle(bundle).manifest
    (model,) = contents.models
    assert isinstance(model, ShippedModel)
    from exporters.bundle.accuracy import _judge_variant

    reference = np.ones(200, bool)
    found = reference.copy()
    found[:30] = False
    with pytest.raises(GateError, match=r"model.int8.onnx: answers 30 of 200 images fewer"):
        _judge_variant("model.int8.onnx", found, reference, 0.01)
    found[2:] = True
    _judge_variant("model.int8.onnx", found, reference, 0.01)
    assert verify_accuracy(bundle, manifest, photos).correct == {"model.onnx": 15}


def test_unsuitable_folders_are_refused(packed: Path, photos: Path, tmp_path: Path) -> None:
    manifest = verify_bundle(packed).manifest
    with pytest.raises(UsageError, match="no such folder"):
        verify_accuracy(packed, manifest, tmp_path / "none")
    with pytest.raises(UnavailableError, match="no images"):
        verify_accuracy(packed, manifest, tmp_path)
    (tmp_path / "penguin").mkdir()
    (tmp_path / "penguin" / "a.png").write_bytes(next(photos.rglob("*.png")).read_bytes())
    with pytest.raises(UsageError, match="penguin is no label"):
        verify_accuracy(packed, manifest, tmp_path)


@pytest.mark.parametrize("folder", ["blue jay", "blue_jay", "12.blue_jay", "blue__jay_"])
def test_folder_names_match_labels_written_differently(folder: str, photos: Path, tmp_path: Path) -> None:
    for name in (folder, "wren/deeper"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.png").write_bytes(next(photos.rglob("*.png")).read_bytes())
    assert [LABELS[place] for _, place in labelled_images(tmp_path, LABELS).images] == sorted(["blue jay", "wren"])


def copies(photos: Path, root: Path, folders: str) -> Path:
    """A folder for each of the names, with one image in it."""
    for name in folders.split():
        (root / name).mkdir(parents=True)
        (root / name / "a.png").write_bytes(next(photos.rglob("*.png")).read_bytes())
    return root


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("Train/wren Train/owl Testing/wren", "Testing"),
        ("training_set/wren valid/wren valid/owl", "valid"),
        ("train/wren val/wren test/wren", "test"),
        ("set/train/wren set/test/wren set/test/owl", "set/test"),
        ("dev/wren dev/owl", "dev"),
    ],
)
def test_test_split_of_a_data_set_is_measured(photos: Path, tmp_path: Path, folders: str, expected: str) -> None:
    found = labelled_images(copies(photos, tmp_path, folders), LABELS)
    assert found.folder == tmp_path / expected
    assert len(found.images) == sum(name.startswith(f"{expected}/") for name in folders.split())


def test_a_training_split_alone_and_two_test_splits_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has Train/ but neither test/ nor val/"):
        labelled_images(copies(photos, tmp_path / "one", "Train/wren Train/owl"), LABELS)
    with pytest.raises(UnavailableError, match="has both test/ and testing/"):
        labelled_images(copies(photos, tmp_path / "two", "train/wren test/wren testing/wren"), LABELS)


def test_left_out_files_are_reported(photos: Path, tmp_path: Path) -> None:
    root = copies(photos, tmp_path, "wren blue_jay wren/.ipynb_checkpoints __MACOSX/wren")
    (root / "wren/._a.png").write_bytes(b"x")
    (root / "wren/gone.png").symlink_to("nowhere.png")
    (root / "stray.png").write_bytes(b"x")
    (root / "owl").mkdir()
    (root / "wren/notes.txt").touch()
    found = labelled_images(root, LABELS)
    assert len(found.images) == 2
    for words in (
        "1 .ipynb_checkpoints/", "1 __MACOSX/", "1 hidden file (wren/._a.png)", "1 dead link (wren/gone.png)",
        "1 file outside a class folder (stray.png)", "1 folder without images (owl)", "1 .txt",
    ):  # fmt: skip
        assert words in found.left_out
    report = AccuracyReport(2, None, {"model.onnx": 1}, None, found.left_out)
    assert report.describe().endswith(f"the bundle states none; left out: {found.left_out}")


def test_pipe_is_refused_without_waiting(packed: Path, photos: Path, tmp_path: Path) -> None:
    os.mkfifo(copies(photos, tmp_path, "wren owl") / "wren" / "pipe.png")
    with pytest.raises(UnreadableImageError, match=r"pipe\.png: the image cannot be read"):
        verify_accuracy(packed, verify_bundle(packed).manifest, tmp_path)
