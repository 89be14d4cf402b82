"""The tower of a text teacher in a recipe: by name or as a section, and what does not go together."""

from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.core.files import sha256_file
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.json_schema import recipe_json_schema
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.tower import TowerSettings

TOWER = "teacher.text.tower"


def recipe(*overrides: str) -> Recipe:
    """The quickstart, whose text teacher is fitted, without its tower."""
    return load_recipe("quickstart", [f"{TOWER}=null", *overrides]).recipe


def test_a_name_stands_for_the_network_with_published_weights() -> None:
    by_name = recipe(f"{TOWER}=resnet18").teacher.text.tower
    assert by_name == recipe(f"{TOWER}={{model: resnet18, weights: imagenet}}").teacher.text.tower
    assert by_name is not None and by_name.weights == "imagenet" and not by_name.is_teacher
    assert recipe().teacher.text.tower is None and recipe(f"{TOWER}=null").teacher.text.tower is None


def test_the_visual_teacher_has_no_keys_of_its_own() -> None:
    made = recipe(f"{TOWER}=teacher")
    assert made.teacher.text.tower == TowerSettings(model="teacher")
    assert made.resolved()["teacher"]["text"]["tower"] == {"model": "teacher"}
    with pytest.raises(UsageError, match=r"teacher\.text\.tower\.image_size: expected nothing for .*tower\.model teac"):
        recipe(f"{TOWER}={{model: teacher, image_size: 96}}")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([f"{TOWER}=resnet81"], "teacher.text.tower: expected teacher (the visual teacher of this run) or a model of"),
        ([f"{TOWER}={{model: resnet81}}"], "teacher.text.tower.model: expected teacher (the visual teacher"),
        ([f"{TOWER}=3"], "teacher.text.tower: expected "),
        ([f"{TOWER}={{model: resnet18, weights: none}}"], "teacher.text.tower.weights: expected imagenet or a file"),
        ([f"{TOWER}={{model: resnet18, mean: [0.5, 0.5, 0.5]}}"], "teacher.text.tower.std: expected three numbers"),
        ([f"{TOWER}={{model: resnet18, wieghts: a.pth}}"], "did you mean teacher.text.tower.weights?"),
        (
            [f"{TOWER}=teacher", "teacher.text.model=ViT-B-32", "teacher.text.weights=laion2b_s34b_b79k"],
            "teacher.text.tower: expected null for teacher.text.weights laion2b_s34b_b79k, which has one of its own",
        ),
        (
            [f"{TOWER}=teacher", "teacher.text.anchors=a.npz", "distill.weighting.by=random_prompts"],
            "with the file of teacher.text.anchors no text tower is fitted that could read random prompts",
        ),
    ],
)
def test_mistake_is_reported_with_its_key(overrides: list[str], expected: str) -> None:
    with pytest.raises(UsageError) as error:
        recipe(*overrides)
    assert expected in str(error.value)


def test_random_prompts_are_read_by_the_text_tower_that_is_fitted() -> None:
    made = recipe(f"{TOWER}=teacher", "distill.weighting.by=random_prompts")
    assert made.teacher.text.has_text_tower
    assert not recipe(f"{TOWER}=teacher", "teacher.text.anchors=a.npz").teacher.text.has_text_tower
    assert recipe("teacher.text.anchors=a.npz").teacher.text.has_text_tower


@pytest.mark.parametrize("value", ["null", "teacher", "resnet18"])
def test_resolved_recipe_gives_the_same_recipe(value: str, tmp_path: Path) -> None:
    made = recipe(f"{TOWER}={value}")
    lock = tmp_path / "lock.yaml"
    lock.write_text(made.to_yaml())
    assert load_recipe(lock).recipe.resolved() == made.resolved()


def test_lock_has_the_hash_of_the_weights_file(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"weights")
    made = recipe(f"{TOWER}={{model: resnet18, weights: {tmp_path / 'net.pth'}}}")
    assert sha256_file(tmp_path / "net.pth") in made.to_yaml()


def test_editors_may_take_a_name_or_a_section() -> None:
    found = recipe_json_schema()["$defs"]["TextTeacherSettings"]["properties"]["tower"]["anyOf"]
    assert {"type": "string"} in found and {"type": "null"} in found and len(found) == 3
