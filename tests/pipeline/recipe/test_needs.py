import pytest

from pipeline.recipe import load_recipe
from pipeline.recipe.needs import (
    has_views,
    needs_image_tower,
    needs_teacher,
    needs_text_embeddings,
    teacher_image_size,
    weighs_by_text,
)
from pipeline.stages.registry import STAGES

NO_VIEWS = "distill.views={edge: null, high_frequency: null}"
CONTRAST = "distill.contrast.weight=0.1"


@pytest.mark.parametrize(
    ("overrides", "teacher", "embeddings", "tower"),
    [
        ((), True, True, True),
        (("distill.method=ce",), True, False, False),  # quickstart's gate compares with the teacher
        (("distill.method=ce", "validate.max_drop_from_teacher=null"), False, False, False),
        (("distill.method=kd",), True, False, False),
        (("distill.weighting.by=text",), True, True, False),
        (("distill.weighting.by=random_prompts",), True, True, True),
        (("distill.weighting.by=random_prompts", NO_VIEWS, CONTRAST), True, True, False),
        (("distill.weighting.by=uniform", CONTRAST), True, True, False),
        (("distill.weighting.by=uniform",), True, False, False),
        (("distill.weighting.by=uniform", CONTRAST, "teacher.text.anchors=a.npz"), True, False, False),
        ((NO_VIEWS, CONTRAST), True, True, False),
        ((NO_VIEWS,), True, False, False),
        (("distill.method=auto",), True, True, True),  # what any candidate needs
        (("distill.method=auto", "distill.auto.candidates=[kd, crd]"), True, False, False),
        (("distill.method=auto", "distill.auto.candidates=[tmkd on kd]", NO_VIEWS, CONTRAST), True, True, False),
    ],
)
def test_teachers_are_made_only_where_they_are_used(
    overrides: tuple[str, ...], teacher: bool, embeddings: bool, tower: bool
) -> None:
    recipe = load_recipe("quickstart", overrides).recipe
    assert needs_teacher(recipe) is teacher
    assert needs_text_embeddings(recipe) is embeddings
    assert needs_image_tower(recipe) is tower
    skipped = {stage.name for stage in STAGES if stage.skipped(recipe) is not None} - {"baseline", "race", "reference"}
    assert skipped == ({"teacher", "fusion"} if not teacher else set()) | ({"text"} if not embeddings else set())


@pytest.mark.parametrize(
    ("overrides", "views", "by_text"),
    [
        ((), True, True),
        ((NO_VIEWS,), False, False),
        (("distill.method=kd",), False, False),
        (("distill.weighting.by=text",), True, True),
        (("distill.weighting.by=teacher_confidence",), True, False),
    ],
)
def test_views_are_weighed_only_under_tmkd(overrides: tuple[str, ...], views: bool, by_text: bool) -> None:
    recipe = load_recipe("quickstart", overrides).recipe
    assert (has_views(recipe), weighs_by_text(recipe)) == (views, by_text)


def test_teacher_sees_the_students_size_unless_it_has_its_own() -> None:
    assert teacher_image_size(load_recipe("quickstart", ["data.image_size=48"]).recipe) == 48
    assert teacher_image_size(load_recipe("quickstart", ["teacher.visual.image_size=80"]).recipe) == 80
