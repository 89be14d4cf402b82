import pytest
from pydantic import ValidationError

from pipeline.recipe.effects import keys_without_effect
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.track import TrackSettings


def test_nothing_is_tracked_by_default() -> None:
    assert TrackSettings().to == [] == TrackSettings().artifacts
    assert Recipe().track == TrackSettings()


@pytest.mark.parametrize(
    "section",
    [
        {"to": ["tensorboard", "tensorboard"]},
        {"to": ["comet"]},
        {"artifacts": ["model", "model"]},
        {"artifacts": ["teacher"]},
        {"name": ""},
        {"project": "a" * 101},
        {"name": "two\nlines"},
        {"group": "\x1b[31m"},
        {"mlflow": {"uri": ""}},
        {"wandb": {"mode": "disabled"}},
    ],
)
def test_other_values_are_mistakes(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrackSettings.model_validate(section)


def test_names_may_be_of_any_script() -> None:
    assert TrackSettings(to=["mlflow"], project="鳥の分類", name="Vögel 1/2").project == "鳥の分類"


@pytest.mark.parametrize(
    ("section", "without"),
    [
        ({"project": "p"}, ["track"]),
        ({"to": ["tensorboard"], "project": "p"}, ["track.project"]),
        ({"to": ["tensorboard"], "artifacts": ["model"], "name": "n"}, ["track.artifacts"]),
        ({"to": ["mlflow"], "wandb": {"mode": "offline"}, "mlflow": {"uri": "u"}}, ["track.wandb"]),
        ({"to": ["wandb"], "wandb": {"mode": "offline"}, "mlflow": {"uri": "u"}}, ["track.mlflow"]),
    ],
)
def test_keys_of_trackers_that_are_not_asked_for_have_no_effect(section: dict[str, object], without: list[str]) -> None:
    recipe = Recipe.model_validate({"track": section})
    given = [("track",), *(("track", key) for key in section)]
    given += [("track", key, inner) for key, value in section.items() if isinstance(value, dict) for inner in value]
    assert keys_without_effect(recipe, given) == without
