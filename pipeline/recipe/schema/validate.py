"""The section `validate` of a recipe."""

from pydantic import Field

from pipeline.settings import Settings


class ValidateSettings(Settings):
    """Gates on the validation split (a student that misses one does not ship, exit 3), and what else is scored."""

    min_top1: float | None = Field(
        default=None, ge=0, le=1, description="Lowest accuracy that passes; null: above chance level."
    )
    max_drop_from_teacher: float | None = Field(
        default=None, ge=0, le=1, description="Largest drop from the teacher's accuracy; null: no gate."
    )
    corruptions: bool = Field(
        default=False,
        description="Also score the chosen student on test images under six corruptions in three severities; "
        "18 more passes over the test split, and no gate.",
    )
