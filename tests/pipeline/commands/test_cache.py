"""The commands `cache list` and `cache prune`."""

import json
import os
from pathlib import Path

import pytest

from pipeline.tmkd.cache_folders import CacheFolder
from tests.pipeline.conftest import assert_one_clear_error, run_command

ABOUT = {
    "data": "folder",
    "images": 1200,
    "epochs": 4,
    "teacher": "resnet56",
    "image_size": 32,
    "augmentation_seed": 0,
    "storage": "float16",
    "device": "cpu",
    "precision": "fp32",
}


def make(run: Path, key: str) -> CacheFolder:
    folder = CacheFolder(run / "cache" / "teacher" / key)
    folder.open(ABOUT, run)
    (folder.path / "logits-rgb.npy").write_bytes(bytes(2_000_000))
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[CacheFolder]:
    monkeypatch.chdir(tmp_path)
    return [make(Path("runs") / name, key) for name, key in (("one", "aaaa"), ("two", "bbbb"))]


def test_list_says_what_is_kept_and_from_what(runs: list[CacheFolder]) -> None:
    outcome = run_command("cache", "list", "runs/one")
    assert outcome.code == 0 and "bbbb" not in outcome.out
    words = " ".join(outcome.out.split())
    for shown in ("aaaa", "2.00 MB", "resnet56 on 1,200 images of folder at 32 px", "4 epochs, seed 0", "float16"):
        assert shown in words
    with runs[0].in_use():
        listed = json.loads(run_command("cache", "list", "--all", "--json").out)
    assert [each["key"] for each in listed] == ["aaaa", "bbbb"]
    assert [each["in_use"] for each in listed] == [True, False]
    assert listed[0]["runs"] == [str(Path("runs/one").absolute())] and listed[0]["about"]["teacher"] == "resnet56"
    assert listed[0]["bytes"] >= 2_000_000


def test_prune_names_what_it_would_remove_and_removes_it_on_yes(runs: list[CacheFolder]) -> None:
    outcome = run_command("cache", "prune", "--all")
    assert outcome.code == 0 and outcome.out.count("would be removed") == 2
    assert "4.0" in outcome.out and "--yes" in outcome.out and all(folder.path.is_dir() for folder in runs)
    assert run_command("cache", "prune", "--all", "--key", "bbbb", "--yes").code == 0
    assert runs[0].path.is_dir() and not runs[1].path.exists()
    assert run_command("cache", "prune", "runs/one", "--yes").code == 0
    assert not runs[0].path.exists()
    assert "nothing to remove" in run_command("cache", "prune", "--all", "--yes").out


def test_prune_as_json_says_what_went_and_what_stays(runs: list[CacheFolder]) -> None:
    outcome = run_command("cache", "prune", "--all", "--json")
    found = json.loads(outcome.out)
    assert found["removed"] is False and [each["key"] for each in found["caches"]] == ["aaaa", "bbbb"]
    assert found["bytes"] == sum(each["bytes"] for each in found["caches"]) and "would be removed" in outcome.err
    with runs[0].in_use():
        done = json.loads(run_command("cache", "prune", "--all", "--yes", "--json").out)
    assert done["removed"] is True
    assert [[each["key"] for each in done[part]] for part in ("caches", "kept")] == [["bbbb"], ["aaaa"]]
    assert runs[0].path.is_dir() and not runs[1].path.exists()


def test_cache_that_a_run_is_using_is_never_removed(runs: list[CacheFolder]) -> None:
    with runs[0].in_use():
        outcome = run_command("cache", "prune", "--all", "--yes")
    assert outcome.code == 0 and "kept, because a run is using it: runs/one" in outcome.out
    assert runs[0].path.is_dir() and not runs[1].path.exists()


def test_prune_by_age_leaves_what_was_used_lately(runs: list[CacheFolder]) -> None:
    (user,) = (runs[0].path / "runs").glob("*.json")
    user.write_text(json.dumps({"run": os.fspath(runs[0].path), "last": "2020-01-01T00:00:00+00:00"}))
    assert run_command("cache", "prune", "--all", "--unused-for", "30", "--yes").code == 0
    assert not runs[0].path.exists() and runs[1].path.is_dir()


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("list", "runs/one", "--all"), ("list", "nowhere"), ("prune", "--all", "--key", "cccc")],
)
def test_usage_mistakes_are_one_clear_error(arguments: tuple[str, ...], runs: list[CacheFolder]) -> None:
    assert_one_clear_error(run_command("cache", *arguments), 2)


def test_recipe_in_place_of_a_run_is_named_as_a_file(runs: list[CacheFolder], tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text("name: two\n")
    outcome = run_command("cache", "list", tmp_path / "two.yaml")
    assert outcome.code == 2 and "two.yaml is a file, not the directory of a run\n  Run directories" in outcome.err
