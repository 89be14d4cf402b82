"""The lines about results, word for word."""

from types import SimpleNamespace

import pytest

from exporters.artifacts.lines import accuracy_of_original, made, traced


@pytest.mark.parametrize(
    ("kept", "trials", "tensors", "expected"),
    [
        (0, 1, 62, "no node stays in fp32, 1 candidate tried; all 62 tensors come from the trained model"),
        (1, 4, 62, "1 node stays in fp32, 4 candidates tried; all 62 tensors come from the trained model"),
        (12, 0, 1, "12 nodes stay in fp32, 0 candidates tried; its tensor is the trained model's"),
    ],
)
def test_counts_are_in_the_singular_and_plural(kept: int, trials: int, tensors: int, expected: str) -> None:
    variant = SimpleNamespace(
        file="model.fp16.onnx",
        data=bytes(1_234_567),
        kept_float=range(kept),
        trials=trials,
        initializers=range(tensors),
    )
    assert made(variant) == f"model.fp16.onnx: 1.23 MB, {expected}"  # type: ignore[arg-type]


def test_origin_of_all_tensors_is_stated() -> None:
    assert traced(3) == "all 3 tensors come from the trained model"


def test_accuracy_of_a_foreign_model_has_its_interval() -> None:
    # By SciPy: binomtest(45, 48).proportion_ci(method="wilson") is 0.8316 to 0.9785.
    assert accuracy_of_original(45 / 48, 48, 1 / 3) == [
        "the original model: accuracy 93.75 % (95 % interval 83.2 to 97.9) on 48 images"
    ]


def test_foreign_model_at_chance_level_does_not_read_as_a_success() -> None:
    # binomtest(16, 48): 0.2168 to 0.4746, with 1/3 inside.
    line, warning = accuracy_of_original(16 / 48, 48, 1 / 3)
    assert line.startswith("the original model: accuracy 33.33 % (95 % interval 21.7 to 47.5)")
    assert warning.startswith("WARNING: the original model is at chance level: 33.33 %") and "on 48 images," in warning
    assert "33.33 %" in warning and "order of its logits" in warning and "mean, std" in warning
    # binomtest(20, 48): 0.2885 to 0.5571, with 1/3 and 1/2 inside.
    warning = accuracy_of_original(20 / 48, 48, 1 / 3)[1]
    assert warning.startswith("WARNING: so few images cannot show whether the original model is better than chance: 41")
    # Images of one class show nothing.
    assert len(accuracy_of_original(0.5, 48, 1.0)) == 1
