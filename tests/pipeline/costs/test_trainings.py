"""What is tried are the trainings that the stages make."""

from pathlib import Path

from pipeline.costs.networks import Networks
from pipeline.costs.trainings import Trainings
from pipeline.distill.methods.ce import CrossEntropy
from pipeline.distill.methods.tmkd import Tmkd
from tests.pipeline.costs.recipes import KINDS, small_recipe

NAMES = ["a", "b", "c"]


def test_trainings_are_those_of_the_stages(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, *KINDS["reference"])
    networks = Networks(recipe, NAMES, 30)
    trainings = Trainings(networks)
    methods = {name: trainings.of(name).task.method for name in ("plain", "method", "base")}
    assert type(methods["plain"]) is CrossEntropy
    assert type(methods["method"]) is type(methods["base"]) is Tmkd
    assert methods["method"].settings.contrast.weight == 0.5 and methods["base"].settings.contrast.weight == 0
    assert networks.taught == ("method", "base")
    assert trainings.of("teacher fit").settings.epochs == 4
    assert trainings.of_text().settings.epochs == 5
