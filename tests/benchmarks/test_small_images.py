"""The benchmark of small images runs and reports what it measured; speed itself is not tested."""

import json
from pathlib import Path

import pytest

from benchmarks.small_images import draw_noise, main, to_markdown

RECIPE = """
name: small
data: {{dataset: folder, root: {root}, image_size: 16, validation: 0.3, test: 0.2, augment: {{crop: shift}}}}
student: {{model: resnet8}}
train: {{epochs: 2, batch_size: 8, lr: 0.1}}
"""


def test_speed_and_share_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE.format(root=draw_noise(tmp_path / "images", 40)))
    main(["--images", "40", "--rounds", "1", "--epochs", "2", "--recipe", str(recipe), "--json"])
    measured = json.loads(capsys.readouterr().out)
    for row in measured["speed"].values():
        assert row["ratio"] == pytest.approx(row["one_at_a_time_us"] / row["batches_us"], rel=0.05)
    share = measured["share"]
    assert 0 < share["later_epochs"] < 1 and 0 < share["first_epoch"] < 1
    assert f"({share['images']} images of 16 px)" in to_markdown(measured)
