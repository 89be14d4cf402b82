import numpy as np
import pytest

pytest.importorskip("torch")

from pipeline.console import Console
from pipeline.explain.arms import gather_arms
from pipeline.recipe import load_recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import StageContext
from tests.pipeline.conftest import Run


def test_students_and_the_teacher_with_most_views_are_asked_about_the_same_images(finished: tuple[Run, object]) -> None:
    run = finished[0]

    def context(*overrides: str) -> StageContext:
        recipe = load_recipe(run.recipe, overrides).recipe
        return StageContext(recipe, RunDirectory(run.directory), Console(plain=True), fingerprint="")

    evidence = gather_arms({"kd": context("distill.method=kd"), "tmkd": context()})
    assert list(evidence.networks) == ["kd", "tmkd", "teacher"]
    with np.load(run.directory / "validate" / "predictions.npz") as predictions:
        answers = predictions["chosen.test"][evidence.indices]
        assert evidence.labels.tolist() == predictions["labels.test"][evidence.indices].tolist()
    for name in ("kd", "tmkd"):
        assert evidence.networks[name].answers.tolist() == answers.tolist()
        assert evidence.networks[name].title == name
    assert evidence.views is not None and len(evidence.views.names) == 3
    maps = [each.maps for each in evidence.networks.values()]
    assert all(each is not None and len(each) == len(evidence.shown) for each in maps)
