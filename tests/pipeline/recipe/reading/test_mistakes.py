from pipeline.recipe.reading.mistakes import Mistake, validate
from pipeline.yaml_document import dotted


def test_sound_tree_gives_a_recipe() -> None:
    recipe, mistakes = validate({"name": "a", "train": {"epochs": 3}})
    assert recipe is not None and recipe.train.epochs == 3 and not mistakes


def test_all_mistakes_are_found_at_once_without_their_consequences() -> None:
    tree = {"train": {"epochs": 0, "schedule": {"milestones": [5]}}, "studnet": {}, "seed": "1,000"}
    recipe, mistakes = validate(tree)
    assert recipe is None
    assert {dotted(mistake.path): mistake.message.partition(",")[0] for mistake in mistakes} == {
        "train.epochs": "expected an integer ≥ 1 and ≤ 100000",
        "studnet": "unknown key; did you mean student?",
        "seed": "expected an integer ≥ 0 and < 4294967296",
    }
    assert all(isinstance(mistake, Mistake) and not mistake.involves for mistake in mistakes)


def test_mistake_in_a_section_that_may_also_be_a_name_is_told_once() -> None:
    _, mistakes = validate({"train": {"class_weights": {"teal": -1}}})
    assert [(dotted(mistake.path), mistake.message) for mistake in mistakes] == [
        ("train.class_weights.teal", "expected a number > 0 and ≤ 1000, got -1")
    ]
    _, mistakes = validate({"train": {"class_weights": "balance"}})
    assert [mistake.message for mistake in mistakes] == [
        "expected none, balanced or a section of keys, got 'balance'; did you mean balanced?"
    ]
