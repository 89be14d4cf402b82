from pathlib import Path

from pipeline.costs.networks import Networks
from pipeline.distill.methods.ce import CrossEntropy
from pipeline.distill.methods.tmkd import Tmkd
from tests.pipeline.costs.recipes import KINDS, small_recipe

NAMES = ["a", "b", "c"]


def test_trainings_are_those_of_the_stages(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, *KINDS["reference"])
    networks = Networks(recipe, NAMES, 30)
    methods = {name: networks.training(name).task.method for name in ("plain", "method", "base")}
    assert type(methods["plain"]) is CrossEntropy
    assert type(methods["method"]) is type(methods["base"]) is Tmkd
    assert methods["method"].settings.contrast.weight == 0.5 and methods["base"].settings.contrast.weight == 0
    assert networks.taught == ("method", "base")
    assert networks.training("teacher fit").settings.epochs == 4
    assert networks.text_training().settings.epochs == 5


def test_no_weights_are_read(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "student.weights=missing.pth", "teacher.visual.weights=missing.pth")
    assert Networks(recipe, NAMES, 30).student.shape.classes == 3
