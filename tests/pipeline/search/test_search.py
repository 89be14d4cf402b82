"""Whole searches on the tiny data set."""

import os
import signal
import time
from pathlib import Path

import pytest

from exporters.core.files import read_json
from pipeline.search.journal import JOURNAL
from tests.pipeline.conftest import run_command, set_, start_command

FEW = {"train.epochs": 3, "distill.teacher_cache.passes": 2, "teacher.visual.fit.epochs": 1}
ARGUMENTS = ("--students", "cifar:resnet8,cifar:resnet14", "--methods", "kd", "--rungs", "1", "--no-report", *set_(FEW))


def test_candidates_that_cannot_keep_a_bound_are_dropped_before_training(tiny_recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = tmp_path / "search"
    arguments = ("--run-dir", folder, "--budget", "1", "--max-size-mb", "0.01", *ARGUMENTS)
    outcome = run_command("search", tiny_recipe, *arguments)
    assert outcome.code == 3 and "no candidate finished within the bounds" in outcome.err, outcome.out + outcome.err
    found = read_json(folder / "front.json")
    assert {each["dropped"]["when"] for each in found["candidates"]} == {"before training"}
    assert all(each["dropped"]["why"].endswith("MB, at most 0.01") for each in found["candidates"])
    assert found["front"] == [] and found["chosen"] is None
    assert not (folder / "runs").exists() and "── teacher" not in outcome.out


@pytest.mark.slow
def test_a_search_that_was_killed_twice_gives_what_an_undisturbed_one_gives(tiny_recipe: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    arguments = ("search", tiny_recipe, "--budget", "1", "--precisions", "fp32,int8", *ARGUMENTS)
    outcome = run_command(*arguments, "--run-dir", whole)
    assert outcome.code == 0, outcome.out + outcome.err
    for ended in (1, 3):
        process = start_command(*arguments, "--run-dir", killed)
        while process.poll() is None and _ended(killed) < ended:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    outcome = run_command(*arguments, "--run-dir", killed)
    assert outcome.code == 0, outcome.out + outcome.err
    one, other = (read_json(folder / "front.json") for folder in (whole, killed))
    # Latency is measured in each folder anew; what follows from training is the same to the bit.
    for before, after in zip(one["candidates"], other["candidates"], strict=True):
        assert {key: before[key] for key in ("name", "rungs")} == {key: after[key] for key in ("name", "rungs")}
    assert (killed / "chosen" / "bundle" / "manifest.json").is_file()
    assert run_command("verify", killed / "chosen" / "bundle").code == 0
    trials = (killed / JOURNAL).read_text()
    assert run_command(*arguments, "--run-dir", killed).code == 0 and (killed / JOURNAL).read_text() == trials


def _ended(folder: Path) -> int:
    journal = folder / JOURNAL
    return journal.read_text().count('"state":1') if journal.is_file() else 0
