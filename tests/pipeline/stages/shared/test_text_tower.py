"""The tower of a text teacher, built and read."""

from pathlib import Path

import pytest
import torch

from exporters.core.errors import UnavailableError, UsageError
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.shared.networks import build_visual_teacher, read_classifier
from pipeline.stages.shared.text_tower import build_text_tower, read_text_tower, require_features
from tests.pipeline.conftest import Outcome, Run


def recipe(tower: str) -> Recipe:
    return load_recipe("quickstart", [f"teacher.text.tower={tower}"]).recipe


def test_tower_has_the_weights_of_its_file_and_its_own_size(tmp_path: Path) -> None:
    source = build_visual_teacher(load_recipe("quickstart", ["teacher.visual.arguments={}"]).recipe, 5).tapped
    torch.save(source.network.state_dict(), tmp_path / "net.pth")
    made = build_text_tower(
        recipe(f"{{model: resnet10t, weights: {tmp_path / 'net.pth'}, mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6],"
               " image_size: 80}"), 7)  # fmt: skip
    assert made.tapped.image_size == 80 and made.mean == (0.1, 0.2, 0.3) and made.std == (0.4, 0.5, 0.6)
    images = torch.rand(2, 3, 80, 80)
    normalised = (images - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    with torch.no_grad():
        found = made.tapped.eval()(images).pooled
        expected = source.network.eval().forward_features(normalised).mean((2, 3))  # type: ignore[operator]
    torch.testing.assert_close(found, expected)


def test_missing_weights_of_a_tower_are_reported_with_its_key() -> None:
    with pytest.raises(UnavailableError, match=r"teacher\.text\.tower: "):
        build_text_tower(recipe("{model: resnet10t, weights: no-such.pth}"), 7)


def test_network_without_pooled_features_is_no_tower(finished: tuple[Run, Outcome]) -> None:
    tower = read_classifier(finished[0].directory / "teacher")
    require_features(tower)
    tower.shape = type(tower.shape)(3, 3, None, has_cam=False, has_classifier=False)
    with pytest.raises(UsageError, match=r"teacher\.text\.tower: .* pooled features"):
        require_features(tower)


def test_visual_teacher_is_read_from_its_own_stage(finished: tuple[Run, Outcome]) -> None:
    run = RunDirectory(finished[0].directory)
    made = load_recipe(finished[0].recipe, ["teacher.text.tower=teacher"]).recipe
    found, expected = read_text_tower(made, run), read_classifier(run.folder("teacher"))
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found.eval()(images).pooled, expected.eval()(images).pooled)
