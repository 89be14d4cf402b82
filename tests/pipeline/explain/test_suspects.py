import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.pipeline.conftest import CLASSES, Outcome, Run, draw, run_command


@pytest.fixture(scope="module")
def mislabelled(finished: tuple[Run, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training images of the finished run, and new ones for test, two of which stand under another class."""
    root = tmp_path_factory.mktemp("mislabelled")
    shutil.copytree(finished[0].data / "train", root / "train")
    for kind in CLASSES:
        (root / "test" / kind).mkdir(parents=True)
        for number in range(6):
            draw(kind, 7000 + number).save(root / "test" / kind / f"{number}.png")
    draw("red_disc", 8000).save(root / "test" / "blue_bar" / "disc.png")
    draw("blue_bar", 8001).save(root / "test" / "red_disc" / "bar.png")
    return root


def test_planted_label_errors_are_found_among_images_that_the_student_has_not_seen(
    finished: tuple[Run, Outcome], mislabelled: Path, tmp_path: Path
) -> None:
    arguments = ("--run", finished[0].directory, "--sheet", tmp_path / "s.png", "--json")
    outcome = run_command("data", "inspect", mislabelled, *arguments)
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)["label_suspects"]
    named = {each["path"]: (each["label"], each["answer"]) for each in told["unseen"]["suspects"]}
    assert named["test/blue_bar/disc.png"] == ("blue bar", "red disc")
    assert named["test/red_disc/bar.png"] == ("red disc", "blue bar")
    assert told["unseen"]["images"] == 20 and told["trained_on"]["images"] == 48
    assert all(each["split"] == "test" for each in told["unseen"]["suspects"])
    margins = [each["margin"] for each in told["unseen"]["suspects"]]
    assert margins == sorted(margins, reverse=True)


def test_target_may_be_left_out_where_a_run_is_named(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    arguments = ("--run", finished[0].directory, "--sheet", tmp_path / "s.png", "--fail-on", "unreadable")
    outcome = run_command("data", "inspect", *arguments)
    assert outcome.code == 0, outcome.err
    assert f"3 classes in {finished[0].data}" in outcome.out
    assert "images that it was trained on, so that it may have learnt wrong labels" in outcome.out


def test_what_is_no_finished_run_of_these_classes_is_refused(
    finished: tuple[Run, Outcome], mislabelled: Path, tmp_path: Path
) -> None:
    sheet = ("--sheet", tmp_path / "s.png")
    outcome = run_command("data", "inspect", mislabelled, "--run", tmp_path, *sheet)
    assert outcome.code == 2 and f"--run {tmp_path} is no run directory" in outcome.err
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    shutil.copy(finished[0].directory / "recipe.lock.yaml", unfinished)
    outcome = run_command("data", "inspect", mislabelled, "--run", unfinished, *sheet)
    assert outcome.code == 4 and "has not finished" in outcome.err
    shutil.copytree(mislabelled, tmp_path / "other")
    for split in ("train", "test"):
        (tmp_path / "other" / split / "red_disc").rename(tmp_path / "other" / split / "red_ring")
    outcome = run_command("data", "inspect", tmp_path / "other", "--run", finished[0].directory, *sheet)
    assert outcome.code == 2 and "knows other classes than the data set" in outcome.err and "'red ring'" in outcome.err
