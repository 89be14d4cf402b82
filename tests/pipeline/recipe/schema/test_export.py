import pytest
from pydantic import ValidationError

from pipeline.recipe.schema.export import ExportSettings


def make(**values: dict) -> ExportSettings:
    return ExportSettings.model_validate(values)


def test_variants_are_those_asked_for_and_those_that_engines_need() -> None:
    assert make().variants == () and make().engines == ()
    assert make(onnx={"precision": ["fp32", "int8"]}).variants == ("int8",)
    assert make(tensorrt={"when": "available", "precision": ["int8", "fp32"]}).variants == ("int8.trt",)
    assert make(tensorrt={"when": "never", "precision": ["int8"]}).engines == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"onnx": {"precision": ["fp16"]}}, "expected fp32 among them"),
        ({"onnx": {"precision": ["fp32", "fp32"]}}, "each precision once"),
        ({"onnx": {"required": ["fp16"]}}, "expected precisions of @precision"),
        ({"tensorrt": {"batch": {"min": 8, "opt": 4}}}, "expected @min"),
        ({"tensorrt": {"library": "tensorrt", "compute_capabilities": ["8.9"]}}, "expected none for @library"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make(**values)
