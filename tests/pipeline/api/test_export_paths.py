"""The paths of an export: what is missing, and folders of images that nothing may be written into."""

from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError, UsageError
from pipeline.api.export_paths import check_paths


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "cup").mkdir(parents=True)
    (tmp_path / "photos" / "cup" / "1.JPG").write_bytes(b"an image by its name")
    return tmp_path / "photos"


def test_existing_paths_and_a_new_folder_pass(weights: Path, photos: Path, tmp_path: Path) -> None:
    check_paths(weights, tmp_path / "new", {"--data": photos, "--calibration": None})
    check_paths(weights, tmp_path / "new" / "folder", {})


@pytest.mark.parametrize("option", ["CHECKPOINT", "--data", "--calibration"])
def test_missing_path_is_named_with_its_option(option: str, weights: Path, photos: Path, tmp_path: Path) -> None:
    paths = {"CHECKPOINT": weights, "--data": photos, "--calibration": photos} | {option: tmp_path / "nowhere"}
    with pytest.raises(UnavailableError, match=rf"^{option}: .*nowhere does not exist"):
        check_paths(paths.pop("CHECKPOINT"), tmp_path / "new", paths)


@pytest.mark.parametrize("place", [".", "cup"])
def test_folder_with_images_takes_no_files(place: str, weights: Path, photos: Path) -> None:
    with pytest.raises(UsageError, match=r"--out .*contains images, such as .*1\.JPG"):
        check_paths(weights, photos / place, {})


def test_folder_of_an_earlier_export_takes_files(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "rejected").mkdir(parents=True)
    (tmp_path / "out" / "model.onnx").write_bytes(b"")
    (tmp_path / "out" / "rejected" / "parity.json").write_bytes(b"")
    check_paths(weights, tmp_path / "out", {})
