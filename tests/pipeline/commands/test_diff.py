"""The command `diff`: what it finds, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.conftest import REPOSITORY, Outcome, assert_one_clear_error, run_command
from tests.pipeline.diff.making import logits_of, make_bundle, make_images

LABELS = [f"bird_{number}" for number in range(10)]
TRUTH = np.repeat(np.arange(10), 60)
GATES = ("--max-drop", 1, "--max-class-drop", 5, "--no-latency")


def student(seed: int, accuracy: float = 0.8) -> np.ndarray:
    """Answers to the 600 images, right but for some that the seed chooses."""
    random = np.random.default_rng(seed)
    return np.where(random.random(600) < accuracy, TRUTH, (TRUTH + random.integers(1, 10, 600)) % 10)


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("birds"), [LABELS[label] for label in TRUTH])


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of today: int8 beside fp32, which loses two points more than it gains."""
    answers = student(0)
    int8 = answers.copy()
    right = np.flatnonzero(answers == TRUTH)
    int8[right[::37]] = (TRUTH[right[::37]] + 1) % 10
    assert 0.02 <= np.mean(answers == TRUTH) - np.mean(int8 == TRUTH) < 0.025
    tables = {"model.onnx": logits_of(answers, 10), "model.int8.onnx": logits_of(int8, 10)}
    return make_bundle(tmp_path_factory.mktemp("old") / "bundle", LABELS, tables)


def new(folder: Path, answers: np.ndarray, labels: list[str] = LABELS) -> Path:
    return make_bundle(folder / "new", labels, logits_of(answers, len(labels)))


def failed(outcome: Outcome) -> set[str]:
    assert_one_clear_error(outcome, 3)
    return {gate for gate in ("--max-drop", "--max-class-drop") if f"{gate} " in outcome.err}


def test_equal_bundle_passes(old: Path, birds: Path, tmp_path: Path) -> None:
    assert run_command("diff", old, old, "--data", birds, *GATES, "--max-larger", 0).code == 0
    outcome = run_command("diff", old, new(tmp_path, student(1)), "--data", birds, *GATES)
    assert outcome.code == 0, outcome.err
    assert "No difference in accuracy beyond chance" in outcome.out


def test_class_that_was_made_worse_is_found(old: Path, birds: Path, tmp_path: Path) -> None:
    answers = student(0)
    rows = np.flatnonzero((TRUTH == 4) & (answers == 4))[:12]
    answers[rows] = 5
    better = np.flatnonzero((TRUTH != 4) & (answers != TRUTH))[:12]  # and others better: the accuracy is the same
    answers[better] = TRUTH[better]
    outcome = run_command("diff", old, new(tmp_path, answers), "--data", birds, *GATES)
    assert failed(outcome) == {"--max-class-drop"} and "bird_4 -20.00 points" in outcome.err


def test_permuted_labels_are_found(old: Path, birds: Path, tmp_path: Path) -> None:
    labels = [*LABELS[1:], LABELS[0]]  # of the same network
    outcome = run_command("diff", old, new(tmp_path, student(0), labels), "--data", birds, *GATES)
    assert failed(outcome) == {"--max-drop", "--max-class-drop"}
    assert "labels in another order" in outcome.out


def test_int8_that_lost_two_points_is_found(old: Path, birds: Path) -> None:
    outcome = run_command("diff", old, old, "--new-precision", "int8", "--data", birds, *GATES)
    assert failed(outcome) == {"--max-drop"}
    assert run_command("diff", old, old, "--precision", "int8", "--data", birds, *GATES).code == 0


def test_json_is_alone_on_standard_output_with_a_failed_gate(old: Path, birds: Path, tmp_path: Path) -> None:
    bundle = new(tmp_path, student(1, 0.6))
    outcome = run_command("diff", old, bundle, "--data", birds, "--max-drop", 1, "--json", "--seconds", 0)
    assert_one_clear_error(outcome, 3)
    told = json.loads(outcome.out)
    assert told["passed"] is False and told["latency"]["threads"] == 1
    assert len(told["changed"]["right_to_wrong"]) == told["accuracy"]["lost"]


def test_markdown_and_page(old: Path, birds: Path, tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    outcome = run_command(
        "diff", old, new(tmp_path, student(1)), "--data", birds, "--no-latency", "--markdown", "--html", page
    )
    assert outcome.code == 0 and outcome.out.startswith("### No difference") and page.is_file()


def test_unreadable_images_are_named_and_left_out(old: Path, tmp_path: Path) -> None:
    photos = make_images(tmp_path / "photos", LABELS[:2])
    (photos / LABELS[0] / "broken.png").write_bytes(b"none")
    refused = run_command("diff", old, old, "--data", photos, "--no-latency")
    assert_one_clear_error(refused, 4)
    assert "broken.png" in refused.err and "--on-error skip" in refused.err
    outcome = run_command("diff", old, old, "--data", photos, "--no-latency", "--on-error", "skip")
    assert outcome.code == 0 and "broken.png" in outcome.err and "1 image could not be read" in outcome.out


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--json", "--markdown"), 2, "--json and --markdown"),
        (("--max-drop", "-1"), 2, "--max-drop"),
        (("--max-slower", "5", "--no-latency"), 2, "--max-slower"),
        (("--rename", "cat"), 2, "OLD=NEW"),
        (("--rename", "cat=dog"), 2, "'cat' is no label of the old bundle"),
        (("--rename", "a=b", "--rename", "a=c"), 2, "given before"),
        (("--precision", "fp16"), 2, "no fp16 model"),
        (("--html", "."), 2, "a folder"),
    ],
)
def test_mistakes_are_one_clear_error(old: Path, birds: Path, options: tuple[str, ...], code: int, said: str) -> None:
    outcome = run_command("diff", old, old, "--data", birds, *options)
    assert_one_clear_error(outcome, code)
    assert said in outcome.err


def test_missing_bundle_and_missing_images(old: Path, birds: Path, tmp_path: Path) -> None:
    assert_one_clear_error(run_command("diff", old, tmp_path / "none", "--data", birds), 2)
    assert_one_clear_error(run_command("diff", old, old, "--data", tmp_path / "none"), 2)
    assert_one_clear_error(run_command("diff", old, old, "--data", tmp_path), 4)


def test_it_needs_no_training_packages(old: Path, birds: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'sklearn', 'matplotlib', 'jinja2', 'onnx', 'timm'): sys.modules[name] = None\n"
        "from pipeline.__main__ import main; main()"
    )
    words = ["diff", str(old), str(old), "--data", str(birds), "--max-drop", "0", "--max-class-drop", "0", "--markdown"]
    command = [sys.executable, "-c", code, *words, "--seconds", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert "All gates passed" in done.stdout
    refused = subprocess.run(
        [*command, "--html", "x.html"], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert refused.returncode == 4 and "--html needs" in refused.stderr
