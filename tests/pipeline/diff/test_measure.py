"""What is measured on two bundles and the same images."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError, UsageError
from pipeline.diff.bundles import open_bundle
from pipeline.diff.measure import Measured, measure

from .conftest import LABELS, TRUTH
from .making import logits_of, make_bundle, make_images


def measured_on(old: Path, new: Path, photos: Path, **options: object) -> Measured:
    bundles = (open_bundle(path, "fp32", "cpu") for path in (old, new))
    return measure(*bundles, photos, seconds=None, **options)  # type: ignore[arg-type]


def test_counts_are_those_of_the_answers(measured: Measured) -> None:
    both = measured.overall
    assert (both.images, both.old, both.new, both.gained, both.lost) == (60, 55, 47, 2, 10)
    assert measured.agreement == 60 - 10 - 2
    cat, dog, owl = measured.classes
    assert (cat.recall.gained, cat.recall.lost, cat.p) == (0, 10, pytest.approx(2 * 0.5**10))
    assert (owl.recall.gained, owl.recall.lost, owl.p) == (2, 0, None)
    assert dog.precision == (1.0, 20 / 30) and cat.precision == (20 / 25, 10 / 13)


def test_calibration_follows_from_the_margins(measured: Measured) -> None:
    for confidence, margin, right in (
        (measured.old_confidence, 2.0, 55), (measured.new_confidence, 4.0, 47),
    ):  # fmt: skip
        assert confidence is not None
        sure = np.exp(margin) / (np.exp(margin) + 2)
        nll = -(right * np.log(sure) + (60 - right) * np.log((1 - sure) / 2)) / 60
        assert confidence.nll == pytest.approx(nll, rel=1e-6)
        assert confidence.bins.calibration_error == pytest.approx(abs(right / 60 - sure), rel=1e-6)


def test_bundles_of_different_input_sizes_are_timed_on_their_own_images(measured: Measured) -> None:
    assert measured.asked.old.sample.shape == (1, 8, 8, 3) and measured.asked.new.sample.shape == (1, 16, 16, 3)
    assert measured.speed is not None and measured.speed.threads == 1
    assert len(measured.speed.old["round_p50_ms"]) == len(measured.speed.new["round_p50_ms"]) >= 5


def test_changed_images_are_listed(measured: Measured) -> None:
    assert sorted(measured.asked.images[row].name for row in measured.lost) == [f"{row:05}.png" for row in range(10)]
    assert sorted(measured.asked.images[row].name for row in measured.gained) == ["00058.png", "00059.png"]


def test_exchanging_the_bundles_mirrors_everything(
    measured: Measured, pair_of_bundles: tuple[Path, Path], photos: Path
) -> None:
    back = measured_on(pair_of_bundles[1], pair_of_bundles[0], photos)
    assert back.overall.difference == -measured.overall.difference and back.overall.p == measured.overall.p
    assert set(back.lost) == set(measured.gained) and set(back.gained) == set(measured.lost)
    for ours, theirs in zip(measured.classes, back.classes, strict=True):
        assert ours.recall.difference == -theirs.recall.difference and ours.p == theirs.p
        assert ours.precision == theirs.precision[::-1]


def test_labels_in_another_order_are_matched(tmp_path: Path, photos: Path) -> None:
    order = [2, 0, 1]  # the new bundle's label of each old one
    old = make_bundle(tmp_path / "old", LABELS, logits_of(TRUTH, 3))
    new = make_bundle(tmp_path / "new", ["dog", "owl", "cat"], logits_of([order[label] for label in TRUTH], 3))
    found = measured_on(old, new, photos)
    assert found.overall.new == found.overall.old == 60 and found.agreement == 60 and not found.moved


def test_classes_of_one_bundle_are_not_paired(tmp_path: Path, photos: Path) -> None:
    old = make_bundle(tmp_path / "old", LABELS, logits_of(TRUTH, 3))
    new = make_bundle(tmp_path / "new", ["cat", "dog", "wren"], logits_of(np.minimum(TRUTH, 1), 3))
    found = measured_on(old, new, photos)
    assert found.overall.images == 40 and [each.place for each in found.classes] == [0, 1]
    assert (found.removed.images, found.removed.correct) == (20, 20) and found.added.images == 0
    assert np.isnan(found.asked.new.nll[40:]).all() and found.new_confidence is not None


def test_rename_pairs_a_class_and_its_images_lie_under_either_name(tmp_path: Path, photos: Path) -> None:
    old = make_bundle(tmp_path / "old", LABELS, logits_of(TRUTH, 3))
    new = make_bundle(tmp_path / "new", ["cat", "dog", "tawny owl"], logits_of(TRUTH, 3))
    without = measured_on(old, new, photos)
    assert without.overall.images == 40
    assert [(each.old, each.new, each.renamed) for each in without.moved] == [("owl", "tawny owl", True)]
    moved = shutil.copytree(photos, tmp_path / "photos")
    (moved / "owl").rename(moved / "tawny owl")
    for folder in (photos, moved):
        found = measured_on(old, new, folder, renames={"owl": "tawny owl"})
        assert found.overall.images == found.overall.new == 60 and not found.moved


def test_unreadable_image_ends_it_or_is_left_out(
    pair_of_bundles: tuple[Path, Path], photos: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(photos, tmp_path / "photos")
    (broken / "cat" / "00003.png").write_bytes(b"no image")
    with pytest.raises(UnavailableError, match=r"cat/00003\.png") as caught:
        measured_on(*pair_of_bundles, broken)
    assert "--on-error skip" in str(caught.value)
    found = measured_on(*pair_of_bundles, broken, skip_unreadable=True)
    assert found.overall.images == 59 and found.overall.lost == 9 and len(found.asked.unreadable) == 1


def test_nothing_but_unreadable_images_is_an_error(pair_of_bundles: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"no image")
    with pytest.raises(UnavailableError, match="none of 1 images"):
        measured_on(*pair_of_bundles, tmp_path, skip_unreadable=True)


def test_one_image_and_classes_without_images(pair_of_bundles: tuple[Path, Path], tmp_path: Path) -> None:
    (make_images(tmp_path, ["cat"]) / "dog").mkdir()
    found = measured_on(*pair_of_bundles, tmp_path)
    assert (found.overall.images, found.overall.lost, found.overall.p) == (1, 1, 1.0)
    assert [each.recall.images for each in found.classes] == [1, 0, 0] and "dog" in found.left_out


def test_logits_that_are_not_finite_are_no_answer(tmp_path: Path, photos: Path) -> None:
    table = logits_of(TRUTH, 3)
    table[7, 2], table[8, 1] = np.nan, np.inf
    old, new = (make_bundle(tmp_path / name, LABELS, each) for name, each in (("a", logits_of(TRUTH, 3)), ("b", table)))
    found = measured_on(old, new, photos)
    assert found.overall.lost == 2 and found.agreement == 58
    assert found.old_confidence is not None and found.new_confidence is None


def test_folders_that_no_bundle_knows_are_refused(pair_of_bundles: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lynx"):
        measured_on(*pair_of_bundles, make_images(tmp_path, ["cat", "lynx"]))


def test_images_of_removed_classes_alone_cannot_be_compared(tmp_path: Path) -> None:
    old = make_bundle(tmp_path / "old", LABELS, logits_of(TRUTH, 3))
    new = make_bundle(tmp_path / "new", ["cat", "dog"], logits_of(np.minimum(TRUTH, 1), 2))
    with pytest.raises(UnavailableError, match="no image is of a class that both"):
        measured_on(old, new, make_images(tmp_path / "photos", ["owl"]))


def test_a_thousand_classes(tmp_path: Path) -> None:
    labels = [f"class {number:04}" for number in range(1000)]
    truth = np.repeat(np.arange(1000), 1)
    new = np.where(truth % 100 == 0, truth + 1, truth)
    bundles = [make_bundle(tmp_path / name, labels, logits_of(each, 1000)) for name, each in (("a", truth), ("b", new))]
    found = measured_on(bundles[0], bundles[1], make_images(tmp_path / "photos", labels))
    assert found.overall.lost == 10 and len(found.classes) == 1000
    assert all(each.p is None for each in found.classes)
