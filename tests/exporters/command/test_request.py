"""An inconsistent request is one clear error before anything is made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exporters.command import CalibrationRequest, EngineRequest, ExportRequest
from exporters.command.images import ImageFolder, ProofImages
from exporters.core.errors import UnavailableError, UsageError
from exporters.images.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(8, 8, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
HERE = Path("somewhere")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"precisions": ("fp8",)}, "unknown precision 'fp8'"),
        ({"required": ("bf16",)}, "unknown precision 'bf16'"),
        (
            {"precisions": ("fp32",), "required": ("fp16",)},
            "--require fp16: no such ONNX file is asked for, only --precision fp32",
        ),
        ({"precisions": ("fp16", "int8")}, "--calibration is missing"),
        ({"precisions": ("fp16",), "calibration": CalibrationRequest(HERE)}, "--calibration is for int8"),
    ],
)
def test_inconsistent_requests_are_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        ExportRequest(**asked)
    assert caught.value.remedy


def test_requested_variants_are_made() -> None:
    request = ExportRequest(("int8", "fp16"), required=("int8", "fp32"), calibration=CalibrationRequest(HERE))
    assert request.variants == ("fp16", "int8")
    assert ExportRequest().variants == ()


def test_engines_determine_the_variants_to_make() -> None:
    calibration, engines = CalibrationRequest(HERE), EngineRequest()
    both = ExportRequest(("fp32", "fp16", "int8"), engines=engines, calibration=calibration)
    assert both.variants == ("fp16", "int8", "int8.trt")
    assert both.requested == ("fp16", "int8")
    alone = ExportRequest(("fp16", "int8"), onnx=False, engines=engines, calibration=calibration, keep="all")
    assert alone.variants == ("fp16", "int8.trt") and alone.requested == ()
    with pytest.raises(UsageError, match="only --precision fp16 of engines"):
        ExportRequest(("fp16",), onnx=False, engines=engines, required=("fp16",))


def save(folder: Path, seeds: range) -> Path:
    folder.mkdir()
    for seed in seeds:
        pixels = np.random.default_rng(seed).integers(0, 256, (9, 10, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed:03}.png")
    return folder


def test_calibration_images_are_spread_over_the_folder(tmp_path: Path) -> None:
    seen, unseen = save(tmp_path / "seen", range(40)), save(tmp_path / "unseen", range(100, 104))
    proof = ProofImages(ImageFolder(unseen), ["a", "b"], PREPROCESSING)
    asked = CalibrationRequest(seen, images=10, method="percentile")
    calibration = ExportRequest(("int8",), calibration=asked).calibrate_on(proof, PREPROCESSING)
    assert calibration is not None and calibration.method == "percentile"
    images = np.concatenate(list(calibration.images()))
    expected = [PREPROCESSING.apply(Image.open(seen / f"{seed:03}.png")) for seed in range(0, 40, 4)]
    assert np.array_equal(images, np.stack(expected))
    assert np.array_equal(np.concatenate(list(calibration.images())), images)
    assert ExportRequest(("fp16",)).calibrate_on(proof, PREPROCESSING) is None


def test_unsuitable_calibration_is_refused(tmp_path: Path) -> None:
    seen, unseen = save(tmp_path / "seen", range(40)), save(tmp_path / "unseen", range(39, 44))
    few, proof = save(tmp_path / "few", range(200, 207)), ProofImages(ImageFolder(unseen), ["a", "b"], PREPROCESSING)
    request = ExportRequest(("int8",), calibration=CalibrationRequest(seen))
    with pytest.raises(UnavailableError, match=r"1 of the images to prove on[\s\S]*039\.png = .*039\.png"):
        request.calibrate_on(proof, PREPROCESSING)
    with pytest.raises(UsageError, match="--data is missing"):
        request.calibrate_on(ProofImages(None, ["a", "b"], PREPROCESSING), PREPROCESSING)
    with pytest.raises(UnavailableError, match="7 images are too few to calibrate int8 on"):
        ExportRequest(("int8",), calibration=CalibrationRequest(few)).calibrate_on(proof, PREPROCESSING)
    with pytest.raises(UnavailableError, match="absent: no images here"):
        ExportRequest(("int8",), calibration=CalibrationRequest(tmp_path / "absent")).calibrate_on(proof, PREPROCESSING)
    with pytest.raises(UsageError, match="8 are the least"):
        CalibrationRequest(seen, images=7)
