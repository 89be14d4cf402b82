import numpy as np
import pytest

pytest.importorskip("torch")

from exporters.core.files import read_json, write_json
from exporters.student.student import load_student
from pipeline.console import Console
from pipeline.explain import evidence as module
from pipeline.explain.evidence import Evidence, gather
from pipeline.recipe import load_recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import StageContext
from tests.pipeline.conftest import Run


def gathered(run: Run, *overrides: str) -> Evidence:
    verdict = read_json(run.directory / "validate" / "verdict.json")
    recipe, directory = load_recipe(run.recipe, overrides).recipe, RunDirectory(run.directory)
    return gather(StageContext(recipe, directory, Console(plain=True), fingerprint=""), verdict)


@pytest.fixture(scope="module")
def evidence(finished: tuple[Run, object]) -> Evidence:
    return gathered(finished[0])


def test_answers_of_the_student_are_those_that_were_validated(evidence: Evidence, finished: tuple[Run, object]) -> None:
    with np.load(finished[0].directory / "validate" / "predictions.npz") as predictions:
        assert evidence.networks["student"].answers.tolist() == predictions["chosen.test"][evidence.indices].tolist()
        assert evidence.labels.tolist() == predictions["labels.test"][evidence.indices].tolist()


def test_teacher_is_asked_in_all_views_without_labels(evidence: Evidence, finished: tuple[Run, object]) -> None:
    assert evidence.views is not None
    assert evidence.views.names[0] == "rgb" and evidence.views.weights.shape[1] == len(evidence.views.names)
    assert evidence.views.weights.sum(axis=1) == pytest.approx(1)
    measured = read_json(finished[0].directory / "fusion" / "accuracy.json")["test"]
    right = float((evidence.networks["teacher"].answers == evidence.labels).mean())
    assert right == pytest.approx(measured["fused"])
    for name, mean in measured["mean_weights"].items():
        own = evidence.views.weights[:, evidence.views.names.index(name)]
        assert float(own.mean()) == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize(("winner", "views"), [("tmkd on cat_kd", 3), ("kd", 1), ("ce", 0)])
def test_teacher_of_a_race_is_that_of_the_method_that_won(run: Run, winner: str, views: int) -> None:
    write_json(run.directory / "race" / "race.json", {"winner": winner})
    evidence = gathered(run, "distill.method=auto", "student.baseline=auto")
    assert ("teacher" in evidence.networks) is (views > 0)
    assert (1 if evidence.views is None else len(evidence.views.names)) == max(views, 1)


def test_shown_images_are_in_the_sample_and_first_view_is_the_image(evidence: Evidence) -> None:
    assert evidence.views is not None
    assert len(evidence.pictures) == len(evidence.shown) > 0
    assert np.array_equal(evidence.views.pictures[:, 0], evidence.pictures)
    assert all(
        answers.maps is not None and len(answers.maps) == len(evidence.shown) for answers in evidence.networks.values()
    )


def test_corrupted_images_of_a_small_set_are_the_whole_set(evidence: Evidence) -> None:
    assert evidence.corrupted_images == len(evidence.labels)
    right = float((evidence.networks["student"].answers == evidence.labels).mean())
    assert evidence.corrupted["student"]["clean"]["0"] == pytest.approx(right)
    assert list(evidence.corrupted) == ["student", "teacher"]


def test_large_networks_see_fewer_images_and_nothing_is_corrupted(
    finished: tuple[Run, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MULTIPLICATIONS", 1.0)
    monkeypatch.setattr(module, "FEWEST", 4)
    small = gathered(finished[0])
    assert (len(small.indices), small.corrupted, small.corrupted_images) == (4, {}, 0)


def test_features_are_those_that_the_student_s_classifier_sees(
    evidence: Evidence, finished: tuple[Run, object]
) -> None:
    saved = load_student(finished[0].directory / "distill" / "chosen")
    head = [each for each in saved.module.modules() if type(each).__name__ == "Linear"][-1]
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    student = evidence.networks["student"]
    assert student.features @ weight.T + bias == pytest.approx(student.logits, abs=1e-4)
