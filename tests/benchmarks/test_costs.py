"""The cost model is held against a run; how well it does is not tested."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.costs import main, to_markdown
from pipeline.costs import probe
from tests.pipeline.conftest import make_data

RECIPE = """\
name: tiny
device: cpu
data: {{dataset: folder, root: {root}, image_size: 32}}
student: {{model: "cifar:resnet8"}}
distill: {{method: ce}}
train: {{epochs: 1, batch_size: 16}}
"""


def test_each_stage_is_foretold_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probe, "LONGEST", 0.0)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(root=make_data(tmp_path / "images")))
    threads = torch.get_num_threads()
    try:
        main([str(tmp_path / "recipe.yaml"), "--set", "train.epochs=2", "--until", "distill", "--json"])
    finally:
        torch.set_num_threads(threads)
    measured = json.loads(capsys.readouterr().out)
    assert list(measured["stages"]) == ["data", "distill"]
    for side in ("predicted", "measured"):
        assert measured["stages"]["distill"][side]["cpu"] > 0
        assert measured["whole"][side]["cpu"] == pytest.approx(
            sum(stage[side]["cpu"] for stage in measured["stages"].values()), abs=0.02
        )
    ratio = measured["whole"]["measured"]["cpu"] / measured["whole"]["predicted"]["cpu"]
    assert measured["error"] == pytest.approx(ratio - 1, abs=1e-3)
    assert f"| distill | {measured['stages']['distill']['predicted']['cpu']:,.1f} |" in to_markdown(measured)
