"""`compare` through the command, on the tiny data set."""

import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from exporters.core.files import read_json
from exporters.core.locks import held
from pipeline.comparison.compare import SHARED_AUGMENTATION
from tests.pipeline.conftest import Outcome, Run, run_command, set_, start_command

SHORT = {"train.epochs": 1, "teacher.visual.fit.epochs": 1, "distill.teacher_cache.passes": 1}
ARGUMENTS = ("--methods", "ce,tmkd", "--bases", "kd", "--seeds", "2", *set_(SHORT))
ARMS = ["ce", "kd", "tmkd on kd"]


@dataclass(frozen=True)
class Compared:
    """A comparison that has run."""

    recipe: Path
    folder: Path
    outcome: Outcome

    def __call__(self, *arguments: object) -> Outcome:
        return run_command("compare", self.recipe, "--run-dir", self.folder, *arguments)

    def runs(self) -> dict[str, int]:
        """Run → when its student was written."""
        found = self.folder.glob("runs/*/seed-*/distill/chosen/student.safetensors")
        return {"/".join(path.parts[-5:-3]): path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="session")
def compared_once(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("compared") / "tiny"
    outcome = run_command("compare", tiny_recipe, "--run-dir", folder, *ARGUMENTS)
    assert outcome.code == 0, outcome.out + outcome.err
    return Compared(tiny_recipe, folder, outcome)


@pytest.fixture
def compared(compared_once: Compared, tmp_path: Path) -> Compared:
    """A copy, to be changed at will."""
    shutil.copytree(compared_once.folder, tmp_path / "tiny")
    return Compared(compared_once.recipe, tmp_path / "tiny", compared_once.outcome)


def test_every_arm_under_every_seed_is_an_ordinary_run(compared_once: Compared) -> None:
    folders = {"ce", "kd", "tmkd-on-kd"}
    assert set(compared_once.runs()) == {f"{arm}/seed-{seed}" for arm in folders for seed in (3, 4)}
    run = compared_once.folder / "runs" / "tmkd-on-kd" / "seed-4"
    assert read_json(run / "stages" / "validate.json")["status"] == "done"
    assert "seed: 4\n" in (run / "recipe.lock.yaml").read_text()
    # It goes on to a bundle like any other.
    planned = Run(run / "recipe.lock.yaml", Path(), run).plan()
    assert {planned[stage][0] for stage in ("data", "teacher", "text", "fusion", "distill", "validate")} == {"reuse"}
    assert planned["export"][0] == "run"


def test_report_has_every_arm_and_seed(compared_once: Compared) -> None:
    report = read_json(compared_once.folder / "compare.json")
    assert [arm["name"] for arm in report["arms"]] == ARMS
    assert report["recipe"]["name"] == "tiny" and report["command"].startswith("tmkd-pipeline compare ")
    assert report["data"] == "folder, 3 classes, 48 training images" and report["test_images"] == 24
    for arm in report["arms"]:
        assert [seed["seed"] for seed in arm["seeds"]] == [3, 4]
        for seed in arm["seeds"]:
            verdict = read_json(compared_once.folder / seed["run"] / "validate" / "verdict.json")
            assert seed["test"] == {which: verdict["student"][which]["test"]["top1"] for which in ("chosen", "final")}
    difference = report["arms"][2]["difference"]["chosen"]
    mean = np.mean([s["test"]["chosen"] for s in report["arms"][2]["seeds"]])
    assert difference["mean"] == pytest.approx(
        mean - np.mean([s["test"]["chosen"] for s in report["arms"][1]["seeds"]])
    )
    assert (compared_once.folder / "compare.png").read_bytes()[:4] == b"\x89PNG"
    text = (compared_once.folder / "compare.md").read_text()
    assert all(f"| `{name}` |" in text for name in ARMS)
    assert all(name in compared_once.outcome.out for name in ARMS)
    assert text.splitlines()[2] == " ".join(report["headline"]) and report["chance"] == pytest.approx(1 / 3)
    assert report["headline"][0].replace("**", "").replace("`", "") in compared_once.outcome.out
    assert report["arms"][0]["difference_to_ce"] is None and report["arms"][2]["difference_to_ce"] is not None


def test_teachers_are_made_once(compared_once: Compared) -> None:
    for stage in ("data", "teacher", "text"):
        records = [read_json(path) for path in compared_once.folder.glob(f"runs/*/*/stages/{stage}.json")]
        assert len({record["fingerprint"] for record in records if record["status"] == "done"}) == 1
        assert compared_once.outcome.out.count(f"── {stage}\n") == 1


def test_seeds_and_arms_share_one_teacher_cache_and_the_report_says_so(compared_once: Compared) -> None:
    assert len(list((compared_once.folder / "cache" / "teacher").iterdir())) == 1
    assert compared_once.outcome.out.count("B are there from before") == 3  # of four students that have a teacher
    assert SHARED_AUGMENTATION in read_json(compared_once.folder / "compare.json")["weaknesses"]
    assert SHARED_AUGMENTATION in (compared_once.folder / "compare.md").read_text()


def test_finished_comparison_trains_nothing(compared: Compared) -> None:
    before = compared.runs()
    outcome = compared(*ARGUMENTS)
    assert outcome.code == 0 and compared.runs() == before
    assert outcome.out.count("finished before") == 6 and not outcome.stages_run
    assert (compared.folder / "compare.md").is_file()


def test_more_seeds_and_arms_are_added(compared: Compared) -> None:
    before = compared.runs()
    outcome = compared("--methods", "kd,tmkd", "--bases", "kd", "--seeds", "3", "--ablate", "contrast", *set_(SHORT))
    assert outcome.code == 0, outcome.err
    after = compared.runs()
    assert before.items() <= after.items() and len(after) == len(before) + 2 + 2 * 3  # seed 5; two switches
    report = read_json(compared.folder / "compare.json")
    assert [arm["ablates"] for arm in report["arms"]] == [None, None, "contrast", "contrast"]


def test_killed_comparison_repeats_no_finished_run(compared: Compared) -> None:
    for run in ("tmkd-on-kd/seed-4", "ce/seed-4"):
        shutil.rmtree(compared.folder / "runs" / run)
    (compared.folder / "compare.json").unlink()
    process = start_command("compare", compared.recipe, "--run-dir", compared.folder, *ARGUMENTS)
    deadline = time.monotonic() + 120
    while not (compared.folder / "runs" / "ce" / "seed-4" / "stages").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = compared.runs()
    outcome = compared(*ARGUMENTS)
    assert outcome.code == 0, outcome.err
    assert "tmkd-on-kd/seed-4" in kept and kept.items() <= compared.runs().items()
    assert len(read_json(compared.folder / "compare.json")["arms"][0]["seeds"]) == 2


def test_diverged_run_is_one_clear_error(compared: Compared) -> None:
    outcome = compared(*ARGUMENTS, *set_({"train.lr": 100, "train.weight_decay": 10, "train.epochs": 8}))
    assert outcome.code == 3 and "runs did not come through" in outcome.err and "Traceback" not in outcome.err


def test_gates_are_reported_and_not_enforced(compared: Compared) -> None:
    outcome = compared(*ARGUMENTS, "--set", "validate.min_top1=1.0", "--set", "teacher.on_weak=fail")
    assert outcome.code == 0
    assert "would not pass the recipe's gates on average: validate.min_top1" in outcome.out
    assert "would not pass the recipe's gates" in (compared.folder / "compare.md").read_text()


def test_arms_that_cannot_be_trained_are_refused_before_any_training(tiny_recipe: Path, tmp_path: Path) -> None:
    """`ce` would work with this student, and would have been trained first."""
    folder = tmp_path / "compared"
    outcome = run_command(
        "compare", tiny_recipe, "--methods", "ce,cat_kd,fitnet,kd", "--seeds", "2", "--run-dir", folder,
        *set_({"student.model": "timm:test_vit", "student.arguments": "{img_size: 32}"}),
    )  # fmt: skip
    assert outcome.code == 2
    assert "cat_kd: distill: cat_kd compares class activation maps, and the student has none" in outcome.err
    assert "fitnet: distill: fitnet compares the maps of stages" in outcome.err
    assert {path.stem for path in folder.rglob("stages/*.json")} == {"data"}


def test_second_comparison_in_one_directory_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    with held(tmp_path / ".compare.lock", UnavailableError):
        outcome = run_command("compare", tiny_recipe, "--run-dir", tmp_path, *ARGUMENTS)
    assert outcome.code == 4 and f"held by another comparison (process {os.getpid()})" in outcome.err
    assert not list(tmp_path.iterdir())


def test_comparison_ends_with_its_page_which_is_kept_where_nothing_ran(compared: Compared) -> None:
    outcome = compared(*ARGUMENTS, "--report")
    page, figures = compared.folder / "report.html", compared.folder / "report" / "figures"
    assert outcome.code == 0 and f"page: {page}" in outcome.out
    text = page.read_text(encoding="utf-8")
    assert "The networks could not be asked" not in text
    names = {"accuracies", "training-curves", "training-time", "wins", "reliability", "attention-maps", "features"}
    assert names | {"mean-logits", "view-gallery"} <= {path.stem for path in figures.glob("*.svg")}
    result = read_json(compared.folder / "compare.json")
    assert all(f"{100 * arm['test']['chosen']['mean']:.2f}" in text for arm in result["arms"])
    page.write_text("mine")
    assert compared(*ARGUMENTS, "--report").code == 0 and page.read_text() == "mine"


def test_unfinished_comparison_is_reported(compared: Compared) -> None:
    shutil.rmtree(compared.folder / "runs" / "tmkd-on-kd" / "seed-4")
    outcome = run_command("report", compared.folder)
    assert outcome.code == 0, outcome.err
    text = (compared.folder / "report.html").read_text(encoding="utf-8")
    assert "Not finished: 5 of 6 runs" in text and "tmkd on kd, seed 4" in text
