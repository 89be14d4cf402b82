"""The race of `method: auto`: who goes on, what it costs the teacher, and that an interrupted race ends the same."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.core.files import read_json
from pipeline.distill.race.candidates import candidate
from pipeline.distill.race.halving import survivors, winner
from pipeline.models.outputs import NetworkShape
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages import distill as distill_file
from pipeline.stages import race as stage_file
from pipeline.stages.race import RaceStage, race_recipe
from pipeline.stages.shared.inputs import read_data
from tests.pipeline.conftest import Outcome, Run, assert_one_clear_error, set_
from tests.pipeline.stages.contexts import context_of

AUTO = {
    "distill.method": "auto",
    "distill.auto.candidates": "[kd, crd, tmkd on kd]",
    "distill.auto.reduction": 2,
    "train.epochs": 8,
}
NAMES = ["ce", "kd", "crd", "tmkd on kd"]


@pytest.fixture(scope="module")
def raced(finished: tuple[Run, Outcome], tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Outcome, int]:
    """A run up to the end of its race, what it printed, and how many batches the teacher saw; not to be changed."""
    from pipeline.tmkd.teacher import MultiViewTeacher

    original, _ = finished
    directory = tmp_path_factory.mktemp("raced") / "run"
    shutil.copytree(original.directory, directory)
    run = Run(original.recipe, original.data, directory)
    assert run(*set_(AUTO), "--until", "fusion").stages_run == ["baseline", "fusion"]  # the teachers serve as they are
    looks = 0
    look = MultiViewTeacher.look

    def counted(self: Any, images: Any) -> Any:
        nonlocal looks
        looks += 1
        return look(self, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultiViewTeacher, "look", counted)
        outcome = run(*set_(AUTO), "--until", "race")
    assert outcome.code == 0, outcome.out + outcome.err
    return run, outcome, looks


def test_best_half_goes_on_and_the_best_of_the_last_rung_wins(raced: tuple[Run, Outcome, int]) -> None:
    run, outcome, _ = raced
    assert outcome.stages_run == ["race"]
    race = read_json(run.directory / "race" / "race.json")
    first, last = race["rungs"]
    assert (first["epochs"], last["epochs"]) == (2, 4)
    assert [row["candidate"] for row in first["results"]] == NAMES
    images, preferred = 12, ["tmkd on kd", "kd", "crd", "ce"]  # distill.base is cat_kd, which does not race
    first_scores, last_scores = (
        {row["candidate"]: (row["validation_top1"], -row["validation_nll"]) for row in rung["results"]}
        for rung in (first, last)
    )
    on = tuple(row["candidate"] for row in first["results"] if row["goes_on"])
    assert on == tuple(last_scores) == survivors(first_scores, 2, images, preferred) and len(on) == 3
    assert race["winner"] == winner(last_scores, images, preferred)
    assert [row["candidate"] for row in last["results"] if row["goes_on"]] == [race["winner"]]
    assert (
        f"auto chose {race['winner'].replace('ce', 'plain training (ce)', 1)}" in outcome.out or race["winner"] != "ce"
    )


def test_every_result_has_its_interval_and_epoch(raced: tuple[Run, Outcome, int]) -> None:
    run, _, _ = raced
    for rung in read_json(run.directory / "race" / "race.json")["rungs"]:
        for row in rung["results"]:
            p, n, z = row["validation_top1"], 12, 1.959964
            centre = (p + z * z / (2 * n)) / (1 + z * z / n)
            half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
            assert row["interval"] == pytest.approx([max(0, centre - half), min(1, centre + half)], abs=1e-9)
            assert 1 <= row["chosen_epoch"] <= rung["epochs"]
    seconds = read_json(run.directory / "race" / "seconds.json")
    assert set(seconds) == set(NAMES) and all(taken > 0 for each in seconds.values() for taken in each)


def test_teacher_sees_each_image_of_the_race_once(raced: tuple[Run, Outcome, int]) -> None:
    run, outcome, looks = raced
    assert looks == 4 * 3  # epochs of the longest rung, batches of 16 in 48 images
    assert not (run.directory / "cache" / "teacher").exists() or not list((run.directory / "cache").rglob("*.npy"))
    assert read_json(run.directory / "race" / "race.json")["teacher_cache_passes"] == 4
    assert "without a teacher cache" not in outcome.out


@pytest.mark.parametrize(
    ("max_gb", "free", "passes", "why"),
    [
        ("null", 10**9, 4, None),
        (1, 10**9, 4, None),
        (1e-6, 10**9, 0, " MB and is more than distill.teacher_cache.max_gb allows (1e-06 GB); each candidate"),
        ("null", 40_000, 0, " MB of the 0.04 MB that are free; each candidate asks the teacher again"),
    ],
)
def test_race_does_without_a_cache_that_is_not_allowed_or_has_little_room(
    raced: tuple[Run, Outcome, int],
    monkeypatch: pytest.MonkeyPatch,
    max_gb: object,
    free: int,
    passes: int,
    why: str | None,
) -> None:
    run, _, _ = raced
    monkeypatch.setattr(stage_file, "free_bytes", lambda _: free)
    auto = {key.replace(".", "__"): value for key, value in AUTO.items()}
    context = context_of(run, **auto, distill__teacher_cache__max_gb=max_gb)
    said: list[str] = []
    monkeypatch.setattr(context.console, "say", said.append)
    candidates = [candidate(name) for name in NAMES]
    shape = NetworkShape(3, 64, (2, 2), has_cam=True)
    assert stage_file._own_passes(context, read_data(context), shape, candidates, 4) == passes
    assert (not said and why is None) or (why is not None and why in said[0])


def test_what_clip_says_of_whole_images_counts_beside_a_cache_of_the_race(
    raced: tuple[Run, Outcome, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_file, "seen_bytes", lambda *_: 10**9)
    auto = {key.replace(".", "__"): value for key, value in AUTO.items()}
    whole = {"distill__weighting__by": "image_text", "distill__weighting__seen": "image"}
    context = context_of(raced[0], **auto | whole, distill__teacher_cache__max_gb=1)
    said: list[str] = []
    monkeypatch.setattr(context.console, "say", said.append)
    shape, candidates = NetworkShape(3, 64, (2, 2), has_cam=True), [candidate(name) for name in NAMES]
    assert stage_file._own_passes(context, read_data(context), shape, candidates, 4) == 0
    assert (
        "and, with what CLIP says of whole images, is more than distill.teacher_cache.max_gb allows (1 GB)" in said[0]
    )


def test_only_figures_are_left(raced: tuple[Run, Outcome, int]) -> None:
    run, _, _ = raced
    assert sorted(path.name for path in (run.directory / "race").iterdir()) == ["race.json", "seconds.json"]
    record = run.record("race")
    assert list(record["outputs"]) == ["race/race.json"]  # seconds are of this machine
    lines = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} >= {f"race/2 epochs/{name}" for name in NAMES}


def test_interrupted_race_goes_on_and_ends_the_same(
    raced: tuple[Run, Outcome, int], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_student, trained = stage_file.train_student, []

    def interrupted(context: Any, label: str, *arguments: Any) -> Any:
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(label)
        return train_student(context, label, *arguments)

    monkeypatch.setattr(stage_file, "train_student", interrupted)
    assert run(*set_(AUTO), "--until", "race").code == 130
    assert run.plan(AUTO)["race"][0] == "continue"
    monkeypatch.setattr(stage_file, "train_student", train_student)
    outcome = run(*set_(AUTO), "--until", "race")
    assert outcome.code == 0 and outcome.out.count("finished before") == 3
    # Which of the candidates filled the teacher cache is all that differs.
    assert (run.directory / "race" / "race.json").read_bytes() == (
        raced[0].directory / "race" / "race.json"
    ).read_bytes()


def test_diverging_candidate_is_out_and_plain_training_must_not_diverge(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporters.core.errors import GateError

    train_student = stage_file.train_student
    diverging = {"kd"}

    def diverges(context: Any, label: str, *arguments: Any) -> Any:
        if label.rpartition("/")[2] in diverging:
            raise GateError("student: the loss logits is not finite at step 1 of epoch 1", remedy="Lower train.lr.")
        return train_student(context, label, *arguments)

    monkeypatch.setattr(stage_file, "train_student", diverges)
    values = AUTO | {"distill.auto.candidates": "[kd, dkd]", "train.epochs": 2}
    outcome = run(*set_(values), "--until", "race")
    assert outcome.code == 0 and "WARNING: race: kd is out" in outcome.out, outcome.err
    (rung,) = read_json(run.directory / "race" / "race.json")["rungs"]
    assert [row["validation_top1"] is None for row in rung["results"]] == [False, True, False]
    diverging.add("ce")
    assert_one_clear_error(run(*set_(values | {"seed": 4}), "--until", "race"), 3)


def test_only_auto_has_a_race(run: Run) -> None:
    for method in ("ce", "kd", "tmkd"):
        action, why = run.plan({"distill.method": method})["race"]
        assert action == "skip" and method in why
    assert run.plan({"distill.method": "auto"})["race"][0] == "run"


def recipes(run: Run, *overrides: str) -> Recipe:
    return load_recipe(run.recipe, overrides).recipe


def test_race_follows_from_the_candidates_settings_and_its_rules(run: Run) -> None:
    from pipeline.stages.distill import DistillStage

    auto = recipes(run, "distill.method=auto")
    for change in ("distill.auto.rungs=1", "distill.auto.candidates=[kd]", "train.lr=0.1", "distill.logits.weight=2.0"):
        assert RaceStage().parameters(recipes(run, "distill.method=auto", change)) != RaceStage().parameters(auto)
    kd, other = (recipes(run, "distill.method=kd", f"distill.auto.rungs={n}") for n in (1, 3))
    assert DistillStage().parameters(kd) == DistillStage().parameters(other)
    assert "pipeline.distill.methods.dkd" in RaceStage().modules(auto)
    assert "pipeline.distill.methods.dkd" not in RaceStage().modules(
        recipes(run, *(f"{k}={v}" for k, v in AUTO.items()))
    )


def test_rung_has_a_schedule_of_its_own_that_ends(run: Run) -> None:
    recipe = recipes(
        run,
        "distill.method=auto",
        "train.epochs=240",
        "train.schedule={milestones: [150, 180, 210]}",
        "train.early_stop=5",
    )
    tmkd = recipe.distill.candidates[-1]
    short = race_recipe(recipe, tmkd, 80, 10)
    assert (short.train.epochs, short.train.schedule.milestones, short.train.early_stop) == (80, (50, 60, 70), None)
    assert short.distill.warmup == 7  # 20 of 240
    assert short.distill.teacher_cache.passes == 10 and (short.distill.method, short.distill.base) == (
        "tmkd",
        tmkd.base,
    )
    assert (short.train.lr, short.seed, short.student) == (recipe.train.lr, recipe.seed, recipe.student)


@pytest.fixture
def vit(run: Run) -> Iterator[dict[str, object]]:
    """A student without class activation maps."""
    yield {
        "distill.method": "auto",
        "student.model": "timm:test_vit",
        "student.arguments": "{img_size: 32, patch_size: 8}",
    }


def test_networks_that_a_named_candidate_cannot_work_with_are_refused(run: Run, vit: dict[str, object]) -> None:
    outcome = run(*set_(vit | {"distill.auto.candidates": "[kd, cat_kd]"}), "--until", "race")
    assert_one_clear_error(outcome, 2)
    assert "cat_kd" in outcome.err and "epoch" not in outcome.out  # before anything is trained


def test_open_race_leaves_out_what_the_networks_do_not_allow(run: Run, vit: dict[str, object]) -> None:
    values = vit | {"train.epochs": 1, "distill.contrast.weight": 0.2}
    outcome = run(*set_(values), "--until", "race")
    assert outcome.code == 0, outcome.out + outcome.err
    race = read_json(run.directory / "race" / "race.json")
    assert {"cat_kd", "tmkd on cat_kd"} <= set(race["left_out"]) and "cat_kd is left out" in outcome.out
    assert {"ce", "kd"} <= {row["candidate"] for row in race["rungs"][0]["results"]}


def short(name: str) -> dict[str, object]:
    return {"distill.method": "auto", "distill.auto.candidates": f"[{name}]", "train.epochs": 2}


def students(folder: Path) -> dict[str, bytes]:
    return {which: (folder / which / "student.safetensors").read_bytes() for which in ("chosen", "final")}


def test_winner_is_trained_to_the_end_and_named_wherever_the_student_goes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_file, "winner", lambda *_: "tmkd on kd")
    monkeypatch.setattr(distill_file, "chosen_score", lambda _history: 0.5)  # of equals the distilled one ships
    outcome = run(*set_(short("tmkd on kd")))
    assert outcome.code == 0, outcome.out + outcome.err
    history = read_json(run.directory / "distill" / "history.json")
    assert (history["method"], history["base"], len(history["epochs"])) == ("tmkd", "kd", 2)
    assert history["ships"] == "distilled"
    card = " ".join((run.directory / "bundle" / "MODEL_CARD.md").read_text().split())
    assert "Method: tmkd on kd. Auto chose tmkd on kd among 2 candidates" in card and "arXiv 2603.24208" in card
    assert outcome.out.count("auto chose ") == 1  # where the race ends
    (choice,) = (line for line in outcome.out.splitlines() if line.startswith("auto chose "))
    assert choice.startswith("auto chose tmkd on kd among 2 candidates") and "plain training" in choice
    reused = run(*set_(short("tmkd on kd")))
    assert reused.code == 0 and reused.stages_run == []
    end = reused.out.partition("student against teacher")[2]
    assert end.count("Race: validation top-1") == end.count(choice) == reused.out.count("auto chose ") == 1
    trained = students(run.directory / "distill")
    values = {"distill.method": "tmkd", "distill.base": "kd", "train.epochs": 2}
    assert run(*set_(values), "--until", "distill").code == 0
    assert students(run.directory / "distill") == trained  # as if the recipe had named it


def test_plain_winner_is_not_trained_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_file, "winner", lambda *_: "ce")
    monkeypatch.setattr(distill_file, "train_student", None)
    outcome = run(*set_(short("kd")))
    assert outcome.code == 0, outcome.out + outcome.err
    assert students(run.directory / "distill") == students(run.directory / "baseline")
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert (verdict["ships"], verdict["plain"], verdict["distilled"]) == ("plain", None, None)
    manifest = read_json(run.directory / "bundle" / "manifest.json")
    assert manifest["facts"]["provenance"].startswith("Method: ce. Auto chose plain training (ce) among 2 candidates")
    assert manifest["facts"]["teacher"] == {} and outcome.out.count("auto chose ") == 1
    assert "WARNING" not in outcome.out.partition("student against teacher")[2]


def test_plain_student_ships_where_the_winner_is_worse_in_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_file, "winner", lambda *_: "kd")
    monkeypatch.setattr(distill_file, "chosen_score", lambda history: {"kd": 0.5, "ce": 0.75}[history["method"]])
    outcome = run(*set_(short("kd")), "--until", "validate")
    assert outcome.code == 0 and "the plain student ships" in outcome.out, outcome.err
    assert students(run.directory / "distill") == students(run.directory / "baseline")
    assert read_json(run.directory / "validate" / "verdict.json")["distilled"] is not None


def test_likelihood_is_that_of_the_verdict(finished: tuple[Run, Outcome]) -> None:
    run, _ = finished
    verdict = read_json(run.directory / "validate" / "verdict.json")
    nll = stage_file._nll(context_of(run), run.directory / "distill" / "chosen")
    assert nll == pytest.approx(verdict["student"]["chosen"]["validation"]["nll"], rel=1e-6)
