from pathlib import Path

from pipeline.tracking.arms import tracked_as_arm
from tests.pipeline.tracking.conftest import make_recipe, tracked_by

RUN = Path("kd") / "seed-3"


def test_runs_of_a_comparison_are_one_group_in_one_place(tmp_path: Path) -> None:
    found = tracked_as_arm(tracked_by("mlflow"), tmp_path / "birds-compare", RUN).track
    assert (found.group, found.name) == ("birds-compare", "kd-seed-3")
    assert found.directory == str(tmp_path / "birds-compare" / "tracking")


def test_what_the_recipe_says_stays(tmp_path: Path) -> None:
    given = tracked_by("mlflow", group="mine", name="first", directory="logs")
    found = tracked_as_arm(given, tmp_path, RUN)
    assert (found.track.group, found.track.name, found.track.directory) == ("mine", "first kd-seed-3", "logs")
    assert tracked_as_arm(found, tmp_path, RUN) == found, "as the run's lock has it"


def test_an_untracked_recipe_stays_as_it_is(tmp_path: Path) -> None:
    assert tracked_as_arm(make_recipe(), tmp_path, RUN) == make_recipe()
