import pytest

from pipeline.recipe.schema.lock import LockSettings
from pipeline.recipe.schema.recipe import Recipe
from pipeline.yaml_document import parse_yaml


def test_recipe_without_a_lock_says_nothing_of_one() -> None:
    assert "lock" not in Recipe().resolved() and "lock:" not in Recipe().to_yaml()


def test_locked_recipe_reads_as_it_was_written() -> None:
    lock = LockSettings(data="a" * 64, threads=2, device="cpu", python="3.12.1", packages={"torch": "2.15.0"})
    text = Recipe(lock=lock).to_yaml()
    assert Recipe.model_validate(parse_yaml(text).value).lock == lock


@pytest.mark.parametrize("wrong", [{"data": "short"}, {"threads": 0}, {"threads": "2"}, {"packages": {"torch": ""}}])
def test_lock_that_nothing_wrote_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        LockSettings.model_validate(wrong)
