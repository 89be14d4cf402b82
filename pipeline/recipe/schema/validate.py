"""The section `validate` of a recipe."""

from pydantic import Field

from pipeline.settings import Settings


class ValidateSettings(Settings):
    """Gates (a student that misses one does not ship, exit 3), and what else is scored."""

    min_top1: float | None = Field(
        default=None, ge=0, le=1, description="Lowest accuracy that passes; null: above chance level."
    )
    max_drop_from_teacher: float | None = Field(
        default=None, ge=0, le=1, description="Largest drop from the teacher's accuracy; null: no gate."
    )
    min_class_recall: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Lowest accuracy that passes in each class that has validation images; null: no gate.",
    )
    max_ece: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Largest calibration error (ECE, 15 bins) of the probabilities that ship; null: no gate.",
    )
    max_latency_ms: float | None = Field(
        default=None,
        gt=0,
        description="Longest median time for one image by model.onnx on this machine's CPU, milliseconds, measured "
        "before the bundle is packed; null: no gate.",
    )
    max_size_mb: float | None = Field(
        default=None,
        gt=0,
        description="Largest model.onnx, in millions of bytes, looked at before the bundle is packed; null: no gate.",
    )
    calibrate: bool = Field(
        default=True,
        description="Fit a temperature for the probabilities on validation, and ship it where it makes them more "
        "likely; false: probabilities are the plain softmax of the logits.",
    )
    corruptions: bool = Field(
        default=False,
        description="Also score the chosen student on test images under six corruptions in three severities; "
        "18 more passes over the test split, and no gate.",
    )
