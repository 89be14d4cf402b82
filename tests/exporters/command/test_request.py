"""What makes no sense is one clear error, before anything is made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exporters.command import CalibrationRequest, VariantRequest
from exporters.command.images import ImageFolder, ProofImages
from exporters.errors import UnavailableError, UsageError
from exporters.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(8, 8, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
HERE = Path("somewhere")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"precisions": ("fp8",)}, "unknown precision 'fp8'"),
        ({"required": ("bf16",)}, "unknown precision 'bf16'"),
        ({"precisions": ("fp32",), "required": ("fp16",)}, "--require fp16: not among --precision fp32"),
        ({"precisions": ("fp16", "int8")}, "--calibration is missing"),
        ({"precisions": ("fp16",), "calibration": CalibrationRequest(HERE)}, "--calibration is for int8"),
    ],
)
def test_what_makes_no_sense(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        VariantRequest(**asked)
    assert caught.value.remedy


def test_what_is_made_and_kept() -> None:
    request = VariantRequest(("int8", "fp16"), ("int8", "fp32"), calibration=CalibrationRequest(HERE))
    assert request.made == ("fp16", "int8")
    assert [request.keeps(name) for name in request.made] == [False, True]
    assert VariantRequest(("fp16",), keep="all").keeps("fp16")
    assert VariantRequest().made == ()


def save(folder: Path, seeds: range) -> Path:
    folder.mkdir()
    for seed in seeds:
        pixels = np.random.default_rng(seed).integers(0, 256, (9, 10, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed:03}.png")
    return folder


def test_calibration_images(tmp_path: Path) -> None:
    seen, unseen = save(tmp_path / "seen", range(40)), save(tmp_path / "unseen", range(100, 104))
    proof = ProofImages(ImageFolder(unseen), ["a", "b"], PREPROCESSING)
    asked = CalibrationRequest(seen, images=10, method="percentile")
    calibration = VariantRequest(("int8",), calibration=asked).calibrate_on(proof, PREPROCESSING)
    assert calibration is not None and calibration.method == "percentile"
    images = np.concatenate(list(calibration.images()))
    expected = [PREPROCESSING.apply(Image.open(seen / f"{seed:03}.png")) for seed in range(0, 40, 4)]
    assert np.array_equal(images, np.stack(expected))
    assert np.array_equal(np.concatenate(list(calibration.images())), images)
    assert VariantRequest(("fp16",)).calibrate_on(proof, PREPROCESSING) is None


def test_calibration_that_would_give_a_bad_file(tmp_path: Path) -> None:
    seen, unseen = save(tmp_path / "seen", range(40)), save(tmp_path / "unseen", range(39, 44))
    few, proof = save(tmp_path / "few", range(200, 207)), ProofImages(ImageFolder(unseen), ["a", "b"], PREPROCESSING)
    request = VariantRequest(("int8",), calibration=CalibrationRequest(seen))
    with pytest.raises(UnavailableError, match=r"1 of the images to prove on[\s\S]*039\.png = .*039\.png"):
        request.calibrate_on(proof, PREPROCESSING)
    with pytest.raises(UsageError, match="--data is missing"):
        request.calibrate_on(ProofImages(None, ["a", "b"], PREPROCESSING), PREPROCESSING)
    with pytest.raises(UnavailableError, match="7 images are too few to calibrate int8 on"):
        VariantRequest(("int8",), calibration=CalibrationRequest(few)).calibrate_on(proof, PREPROCESSING)
    with pytest.raises(UnavailableError, match="absent: no images here"):
        VariantRequest(("int8",), calibration=CalibrationRequest(tmp_path / "absent")).calibrate_on(
            proof, PREPROCESSING
        )
    with pytest.raises(UsageError, match="8 are the least"):
        CalibrationRequest(seen, images=7)
