"""Names of the kinds of variants."""

from exporters.artifacts.kinds import VARIANT_KINDS, file_of, precision_of
from exporters.bundle.manifest import GOLDEN_LIMITS, variant_of


def test_files_and_precisions_are_those_of_a_bundle() -> None:
    for name in ("fp32", *VARIANT_KINDS):
        assert variant_of(file_of(name)) == name and precision_of(name) in GOLDEN_LIMITS
    assert file_of("fp32") == "model.onnx" and file_of("int8.trt") == "model.int8.trt.onnx"
    assert precision_of("int8.trt") == "int8"
