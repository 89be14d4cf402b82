"""Before training: enough validation images for a threshold, and foreign images where a folder of them is named."""

from pathlib import Path

from exporters.core.errors import UnavailableError, UsageError
from pipeline.preflight import files
from pipeline.preflight.known import check_foreign, check_images
from tests.pipeline.preflight.conftest import Prospect


def test_share_that_validation_is_too_small_for_is_refused(prospect: Prospect) -> None:
    """The tiny data set has 12 validation images."""
    (error,) = prospect.report(check_images, "known.score=energy").errors
    assert isinstance(error, UsageError)
    assert "known.false_alarms: 0.05 needs 19 validation images or more" in error.message and "are 12" in error.message
    assert prospect.report(check_images, "known.score=energy", "known.false_alarms=0.1").errors == []
    assert prospect.report(check_images, "known.false_alarms=0.05").errors == []  # and no score


def test_folder_without_an_image_is_refused(prospect: Prospect, tmp_path: Path) -> None:
    on, foreign = "known.score=max_softmax", f"known.foreign={tmp_path}"
    (tmp_path / "notes.txt").write_text("none")
    (error,) = prospect.report(check_foreign, on, foreign).errors
    assert isinstance(error, UnavailableError) and "known.foreign: no image is in" in error.message
    assert prospect.report(check_foreign, foreign).errors == []
    (tmp_path / "a.png").write_bytes(b"not looked into yet")
    assert prospect.report(check_foreign, on, foreign).errors == []


def test_missing_folder_is_named(prospect: Prospect, tmp_path: Path) -> None:
    missing = ("known.score=energy", f"known.foreign={tmp_path / 'none'}")
    (error,) = prospect.report(files.check, *missing, stages=("bundle",)).errors
    assert isinstance(error, UnavailableError) and "known.foreign: " in error.message
    assert prospect.report(files.check, missing[1], stages=("bundle",)).errors == []
