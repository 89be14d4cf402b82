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
