from typing import Any

import pytest

from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared import bottleneck
from pipeline.stages.shared.bottleneck import describe_bottleneck
from pipeline.training.meters import PARTS


def described(
    recipe: dict[str, Any], *epochs: dict[str, float], device: str = "cpu", workers: int = 0, fits: bool = False
) -> str:
    history = [{"time": {"parts": parts}} for parts in epochs]
    return describe_bottleneck(Recipe.model_validate(recipe), history, device, workers, fits)


def tmkd(passes: int = 0, epochs: int = 240, base: str = "cat_kd") -> dict[str, Any]:
    return {
        "distill": {"method": "tmkd", "base": base, "teacher_cache": {"passes": passes}},
        "train": {"epochs": epochs},
    }


TAUGHT = {"data": 3.0, "views": 5.0, "teacher": 26.0, "clip": 30.0, "forward": 12.0, "backward": 20.0, "other": 4.0}


def test_parts_of_all_epochs_count_and_the_key_that_helps_is_named() -> None:
    assert described(tmkd(), TAUGHT, TAUGHT) == (
        "61 % of the time went into the teacher (clip 30, teacher 26, views 5): distill.teacher_cache.passes: 6 would"
        " compute it in 6 epochs of 240, whose images then come again; distill.weighting.seen: image lets CLIP look at"
        " each image once"
    )
    cached = TAUGHT | {"views": 0.0, "teacher": 0.0, "clip": 0.0}
    assert described(tmkd(passes=1), TAUGHT, *[cached] * 9).startswith("71 % of the time went into the student's own")


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (tmkd(epochs=5), "distill.teacher_cache.passes: 2 would compute it in 2 epochs of 5"),
        (tmkd(epochs=3), "distill.teacher_cache.passes: 1 would compute it in 1 epoch of 3"),
        (tmkd(passes=240), "distill.teacher_cache.passes: 6 would"),
        (tmkd(base="fitnet"), "distill.teacher_cache.passes: 6 with distill.teacher_cache.stages: true would"),
        (tmkd(epochs=1), "distill.weighting.seen: image lets"),
        (tmkd(passes=4), "distill.weighting.seen: image lets"),  # the cache is in use
    ],
)
def test_cache_is_proposed_where_it_would_help(recipe: dict[str, Any], expected: str) -> None:
    _, _, remedy = described(recipe, TAUGHT).partition("views 5)")
    assert remedy.removeprefix(": ").startswith(expected)


def test_compiling_for_longer_than_training_is_named() -> None:
    assert described(tmkd(), {**TAUGHT, "compile": 300.0}, TAUGHT) == (
        "60 % of the time went into compiling: train.compile: false trains without it"
    )


def test_nothing_is_proposed_that_is_in_use_already() -> None:
    recipe = tmkd(passes=4)
    recipe["distill"]["weighting"] = {"seen": "image"}
    assert described(recipe, TAUGHT) == "61 % of the time went into the teacher (clip 30, teacher 26, views 5)"
    assert described(tmkd(passes=4), {"teacher": 1.0}) == "100 % of the time went into the teacher"


def test_processes_are_proposed_where_there_are_processors_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bottleneck, "available_processors", lambda: 8)
    spent, plain = {"data": 6.0, "forward": 3.0, "other": 1.0}, {"distill": {"method": "ce"}}
    share = "60 % of the time went into waiting for images"
    proposed = f"{share}: data.workers: 8 would make them in 8 processes beside the training"
    assert described(plain, spent, workers=2) == proposed
    assert described(plain, spent, device="cuda") == proposed
    assert described(plain, spent, workers=8) == share
    assert described(plain, spent, device="cuda", workers=8) == f"{share}: data.decode: gpu decodes JPEG files there"
    assert described(plain, spent) == proposed  # one processor decodes while the others wait
    assert described(plain, spent, fits=True) == share  # in memory, on the processors that train
    assert described(plain, spent, fits=True, device="cuda") == proposed
    kept = f"{share}: data.workers: auto would keep them decoded in memory"
    assert described(plain, spent, fits=True, workers=8) == kept


def test_processes_that_train_together_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bottleneck, "available_processors", lambda: 8)
    for name, value in {"RANK": "0", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    proposed = described({}, {"data": 1.0})
    assert proposed.endswith(": data.workers: 2 would make them in 2 processes beside the training")


@pytest.mark.parametrize(
    ("device", "precision", "remedy"),
    [("cuda", "fp32", ": train.precision: auto is faster on a GPU"), ("cuda", "auto", ""), ("cpu", "fp32", "")],
)
def test_student_is_computed_in_half_precision_on_a_gpu(device: str, precision: str, remedy: str) -> None:
    found = described({"train": {"precision": precision}}, {"forward": 1.0, "backward": 3.0}, device=device)
    share = "100 % of the time went into the student's own forward and backward passes"
    assert found == f"{share} (backward 75, forward 25){remedy}"


def test_fewer_validation_images_are_proposed_where_evaluation_takes_longest() -> None:
    assert described({}, {"evaluation": 3.0, "forward": 1.0}) == (
        "75 % of the time went into the accuracy on validation images: a smaller data.validation has fewer of them,"
        " unless the data bring a validation split"
    )


@pytest.mark.parametrize(("minutes", "is_proposed"), [(0.0, True), (9.0, True), (10.0, False), (None, False)])
def test_fewer_checkpoints_are_proposed_where_many_are_written_within_an_epoch(
    minutes: float | None, is_proposed: bool
) -> None:
    found = described({"train": {"checkpoint": {"every_minutes": minutes}}}, {"checkpoint": 3.0, "forward": 1.0})
    remedy = ": a larger train.checkpoint.every_minutes writes fewer of them" if is_proposed else ""
    assert found == f"75 % of the time went into checkpoints{remedy}"


def test_every_part_has_a_name() -> None:
    named = [part for parts in bottleneck._SHARES.values() for part in parts]
    assert sorted(named) == sorted(PARTS)
    for part in PARTS:
        assert described({}, {part: 1.0}).startswith("100 % of the time went into ")
