import pytest
import torch

from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.networks import (
    build_student,
    build_visual_teacher,
    read_classifier,
    student_preprocessing,
    teacher_preprocessing,
)
from tests.pipeline.conftest import Outcome, Run

MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def recipe(*overrides: str) -> Recipe:
    return load_recipe("quickstart", overrides).recipe


def test_students_preprocessing_has_the_recipes_sizes() -> None:
    made = student_preprocessing(recipe("data.image_size=128"), MEAN, STD)
    assert (made.size, made.resize, made.mean, made.std) == (128, 146, MEAN, STD)


@pytest.mark.parametrize(("size", "resize"), [(128, 146), (64, 73), (256, 292)])
def test_teachers_preprocessing_keeps_the_students_crop(size: int, resize: int) -> None:
    made = teacher_preprocessing(recipe("data.image_size=128", f"teacher.visual.image_size={size}"), MEAN, STD)
    assert (made.size, made.resize, made.mean, made.std) == (size, resize, MEAN, STD)


def test_networks_follow_the_seed_of_their_section() -> None:
    def weights(*overrides: str) -> list[torch.Tensor]:
        made = recipe(*overrides)
        models = build_student(made, 3), build_visual_teacher(made, 3)
        return [next(model.tapped.parameters()).detach() for model in models]

    (student, teacher), (other_student, same_teacher) = weights(), weights("seed=7")
    assert not torch.equal(student, other_student) and torch.equal(teacher, same_teacher)
    assert not torch.equal(teacher, weights("data.split_seed=7")[1])


def test_saved_network_is_loaded_at_its_own_size(finished: tuple[Run, Outcome]) -> None:
    network = read_classifier(finished[0].directory / "teacher")
    assert network(torch.rand(2, 3, 32, 32)).logits.shape == (2, 3)
