import pytest
from pydantic import ValidationError

from pipeline.recipe.schema.teacher import TextTeacherSettings, VisualTeacherSettings


def test_embeddings_file_has_no_image_tower() -> None:
    assert TextTeacherSettings().has_image_tower
    assert not TextTeacherSettings(weights="texts.npz").has_image_tower


def test_teacher_that_has_learned_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="where @fit is null"):
        VisualTeacherSettings(weights="none")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": "ViT-B-33"}, "did you mean ViT-B-32"),
        ({"weights": "laion2b_s34b_b79"}, "laion2b_s34b_b79k"),
        ({"weights": "fit"}, "for @weights fit, got ViT-B-32"),
        ({"prompts": "brids"}, "or a file"),
    ],
)
def test_slips_in_names_of_clip_are_named(values: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TextTeacherSettings.model_validate(values)
