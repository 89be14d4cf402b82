from pipeline.distill.race.candidates import candidate_names
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


def test_unknown_key_that_stands_in_another_section_is_told_with_those_of_its_own_where_they_are_few() -> None:
    def message(tree: dict[str, object]) -> str:
        _, (mistake,) = validate(tree)
        return mistake.message

    assert message({"distill": {"teacher_cache": {"batch_size": 2}}}) == (
        "unknown key; did you mean train.batch_size? Known here: passes, share, storage, max_gb, stages"
    )
    assert message({"train": {"jitter": 0.1}}) == "unknown key; did you mean data.augment.jitter?"
    assert message({"distill": {"teacher_cache": {"zzz": 2}}}).startswith("unknown key; known here: passes, share")
    assert message({"distill": {"teacher_cache": {"pases": 2}}}).endswith("did you mean distill.teacher_cache.passes?")


def test_mistake_in_a_section_that_may_also_be_a_name_is_told_once() -> None:
    _, mistakes = validate({"train": {"class_weights": {"teal": -1}}})
    assert [(dotted(mistake.path), mistake.message) for mistake in mistakes] == [
        ("train.class_weights.teal", "expected a number > 0 and ≤ 1000, got -1")
    ]
    _, mistakes = validate({"train": {"class_weights": "balance"}})
    assert [mistake.message for mistake in mistakes] == [
        "expected none, balanced or a section of keys, got 'balance'; did you mean balanced?"
    ]


def test_wrong_item_of_a_long_choice_is_one_short_line() -> None:
    def message(candidates: object) -> str:
        _, (mistake,) = validate({"distill": {"method": "auto", "auto": {"candidates": candidates}}})
        return f"{dotted(mistake.path)}: {mistake.message}"

    names = f"ce, kd, dkd or another of {len(candidate_names())} names"
    assert message(["kd", "kdd"]) == f"distill.auto.candidates[1]: expected {names}, got 'kdd'; did you mean kd?"
    assert message(["tmkd on kdx"]).endswith("got 'tmkd on kdx'; did you mean tmkd on kd?")
    assert message("kd") == f"distill.auto.candidates: expected a list, each {names} or null, got 'kd'; write [kd]"
    assert len(message(["nothing like it"])) < 120
