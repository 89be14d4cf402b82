from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")

from exporters.core.files import read_json
from pipeline.comparison.page.facts import read_comparison
from pipeline.comparison.page.figures.from_facts import best_names, corruptions, figures_of_files, mean_seconds
from pipeline.report.page.steps import page_steps
from tests.pipeline.comparison.making import make_folder
from tests.pipeline.report.page.figures.reading import texts

ALL = ["accuracies", "training-curves", "training-time", "wins", "reliability", "robustness"]


def test_finished_comparison_has_all_figures_of_its_files(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp", corruptions=True)
    facts = read_comparison(tmp_path / "cmp")
    with page_steps(0) as steps:
        figures = steps.draw(figures_of_files(facts))
    assert [figure.name for figure in figures.values()] == list(figures) == ALL
    calibrated = [text for text in texts(figures["reliability"]) if "ECE" in text]
    errors = [read_json(run.directory.path / "validate" / "verdict.json") for run in facts.first_runs.values()]
    expected = [100 * error["student"]["chosen"]["test"]["ece"] for error in errors]
    assert [float(text.split("ECE ")[1].split(" ")[0]) for text in calibrated] == pytest.approx(expected, abs=0.051)


def test_one_arm_wins_over_nobody_and_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp", arms=["ce"], seeds=(0,))
    names = [sketch.name for sketch in figures_of_files(read_comparison(tmp_path / "cmp"))]
    assert names == [name for name in ALL if name not in ("wins", "robustness")]


def test_figures_with_a_colour_for_each_arm_have_the_best_ten_of_twelve(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp", arms=["ce", *(f"kd {n}" for n in range(11))], seeds=(0,), images=300)
    facts = read_comparison(tmp_path / "cmp")
    accuracies = {each.arm.name: each.test["chosen"].mean for each in facts.figures}
    left_out = set(accuracies) - set(best_names(facts))
    assert len(left_out) == 2
    assert max(accuracies[name] for name in left_out) <= min(accuracies[name] for name in best_names(facts))


def test_accuracy_on_corrupted_images_is_the_mean_over_seeds(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp", corruptions=True)
    facts = read_comparison(tmp_path / "cmp")
    found = corruptions(facts, "kd")
    clean = [run.facts.verdict["student"]["chosen"]["test"]["top1"] for run in facts.runs["kd"].values()]  # type: ignore[index]
    assert found["clean"] == {"0": pytest.approx(np.mean(clean))}
    assert found["blur"] == pytest.approx({"1": 0.6, "3": 0.5, "5": 0.25})


def test_seconds_are_summed_over_epochs_and_averaged_over_seeds() -> None:
    first = [{"time": {"parts": {"data": 1.0, "forward": 2.0}}}, {"time": {"parts": {"data": 3.0}}}, {}]
    second = [{"time": {"parts": {"forward": 4.0}}}]
    assert mean_seconds([first, second]) == {"data": 2.0, "forward": 3.0}
