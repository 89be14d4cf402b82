import json
from pathlib import Path

import pytest

from pipeline.recipe import load_recipe
from pipeline.tracking.figures import epochs_of, identity_of, parameters_of
from tests.pipeline.tracking.conftest import StoredRun, expected, make_recipe, tracked_by


def test_every_number_of_each_line_is_a_figure_under_its_path(tmp_path: Path) -> None:
    run = StoredRun(tmp_path / "r", make_recipe())
    run.finish()
    found = epochs_of(tmp_path / "r" / "metrics.jsonl")
    assert [(epoch.training, epoch.number) for epoch in found] == [*run.lines]
    assert {(name, e.number): value for e in found for name, value in e.values.items()} == expected(run)


def test_damaged_and_foreign_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage": "distill", "epo\n[]\n{"stage": "distill", "epoch": 1, "loss": 1.0, "note": "x"}\n')
    (epoch,) = epochs_of(path)
    assert epoch.values == {"distill/loss": 1.0}
    assert epochs_of(tmp_path / "none") == []


def test_an_epoch_is_the_same_whatever_time_it_took(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    digests = []
    for seconds, loss in ((1.0, 0.5), (2.0, 0.5), (1.0, 0.25)):
        line = {"stage": "distill", "epoch": 1, "loss": loss, "time": {"seconds": seconds}}
        path.write_text(json.dumps(line) + "\n")
        digests.append(epochs_of(path)[0].digest)
    assert digests[0] == digests[1] != digests[2]


def test_parameters_are_every_key_but_those_of_lock_and_track() -> None:
    found = parameters_of(tracked_by("mlflow", mlflow={"uri": "https://me:secret@host"}))
    assert found["data.dataset"] == "folder" and found["train.epochs"].isdigit() and found["data.labels"] == "null"
    assert found["export.onnx.precision"] == '["fp32"]'
    assert not [key for key in found if key.startswith(("track", "lock"))]
    assert "secret" not in str(found)


def test_the_locked_recipe_belongs_to_the_same_run_as_the_recipe(tmp_path: Path) -> None:
    recipe = make_recipe(device="auto", train={"epochs": 3})
    lock = tmp_path / "recipe.lock.yaml"
    lock.write_text(recipe.model_copy(update={"device": "cpu"}).to_yaml())
    again = load_recipe(lock, ("track.to=[mlflow]",)).recipe
    assert identity_of(again, "here") == identity_of(recipe, "here")


@pytest.mark.parametrize("change", [{"seed": 1}, {"validate": {"min_top1": 0.5}}, {"train": {"epochs": 7}}])
def test_another_recipe_belongs_to_another_run(change: dict[str, object]) -> None:
    assert identity_of(make_recipe(**change), "here") != identity_of(make_recipe(), "here")
    assert identity_of(make_recipe(), "there") != identity_of(make_recipe(), "here")
