import pytest
from pydantic import ValidationError

from pipeline.recipe.schema.teacher import TeacherSettings, TextTeacherSettings, VisualTeacherSettings


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


@pytest.mark.parametrize("teacher", ["visual", "text"])
@pytest.mark.parametrize("runtime", ["compile", "onnxruntime", "openvino", "tensorrt"])
def test_only_pytorch_runs_a_sharded_teacher(runtime: str, teacher: str) -> None:
    assert TeacherSettings.model_validate({"runtime": runtime, teacher: {"shard": False}}).runtime == runtime
    with pytest.raises(
        ValidationError, match=rf"expected auto, eager or torch where @{teacher}\.shard is true, got {runtime}"
    ):
        TeacherSettings.model_validate({"runtime": runtime, teacher: {"shard": True}})


@pytest.mark.parametrize("runtime", ["auto", "eager", "torch"])
def test_runtimes_of_pytorch_may_shard(runtime: str) -> None:
    both = TeacherSettings.model_validate({"runtime": runtime, "visual": {"shard": True}, "text": {"shard": True}})
    assert both.visual.shard and both.text.shard


def test_teacher_that_is_the_image_tower_is_not_sharded() -> None:
    text = {"model": "tiny", "weights": "fit", "tower": "teacher"}
    assert TeacherSettings.model_validate({"text": text}).text.tower is not None
    with pytest.raises(ValidationError, match=r"expected false for @text\.tower teacher"):
        TeacherSettings.model_validate({"text": text, "visual": {"shard": True}})
    with pytest.raises(ValidationError, match="expected false for @tower teacher"):
        TextTeacherSettings.model_validate({**text, "shard": True})
    assert TextTeacherSettings.model_validate({**text, "tower": "resnet18", "shard": True}).shard
