"""Names of OpenVINO files, and what a manifest may say of them."""

from typing import Any

import pytest

from exporters.bundle.openvino import check_entries, openvino_files, weights_of, xml_name, xml_path
from exporters.core.errors import GateError

LIMITS = {"fp32": 1e-3, "fp16": 5e-2}
ENTRY = {"precision": "fp16", "golden_tolerance": 0.01}


def test_names_are_those_of_the_onnx_files() -> None:
    assert [xml_name(precision) for precision in LIMITS] == ["model.xml", "model.fp16.xml"]
    assert weights_of(xml_path("fp16")) == "openvino/model.fp16.bin"
    manifest = {"openvino": {xml_path(precision): {} for precision in LIMITS}}
    assert list(openvino_files(manifest)) == [
        "openvino/model.fp16.xml", "openvino/model.fp16.bin", "openvino/model.xml", "openvino/model.bin",
    ]  # fmt: skip
    assert list(openvino_files({})) == []


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("openvino/model.xml", {}, "no OpenVINO file of fp16"),
        ("openvino/model.fp16.xml", {"golden_tolerance": 0.051}, "tolerances of at most 0.05"),
        ("openvino/model.fp16.xml", {"cam_tolerance": 0.01}, "needs a cam_tolerance where"),
    ],
)
def test_entries_that_do_not_fit_are_refused(name: str, change: dict[str, Any], message: str) -> None:
    check_entries({"openvino": {"openvino/model.fp16.xml": ENTRY}}, LIMITS)
    check_entries({}, LIMITS)
    with pytest.raises(GateError, match=message):
        check_entries({"openvino": {name: {**ENTRY, **change}}}, LIMITS)


def test_with_maps_a_tolerance_of_maps_is_needed_and_bounded() -> None:
    name, cam = "openvino/model.fp16.xml", {"height": 4, "width": 4}
    check_entries({"cam": cam, "openvino": {name: {**ENTRY, "cam_tolerance": 0.05}}}, LIMITS)
    with pytest.raises(GateError, match="needs a cam_tolerance where"):
        check_entries({"cam": cam, "openvino": {name: ENTRY}}, LIMITS)
    with pytest.raises(GateError, match=r"at most 0\.05"):
        check_entries({"cam": cam, "openvino": {name: {**ENTRY, "cam_tolerance": 0.06}}}, LIMITS)
