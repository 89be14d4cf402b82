"""The stage `reference`: the base of TMKD beside it."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from exporters.core.files import read_json
from pipeline.recipe import load_recipe
from pipeline.stages.reference import ReferenceStage
from tests.pipeline.conftest import Run, set_


def test_reference_is_the_base_bit_for_bit_and_is_compared_on_the_same_images(run: Run) -> None:
    same_teacher = {"teacher.visual.fit.views": "false"}  # else a method without views would have another one
    outcome = run(*set_({**same_teacher, "distill.reference": "base"}), "--until", "validate")
    assert outcome.code == 0, outcome.err
    assert outcome.stages_run == ["reference", "validate"]
    assert "base cat_kd+kd: the same losses on rgb alone, without contrast" in outcome.out
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert verdict["base"]["name"] == "cat_kd+kd" and verdict["plain"] is None
    with np.load(run.directory / "validate" / "predictions.npz") as predictions:
        for split in ("validation", "test"):
            right = {
                name: predictions[f"{name}.{split}"] == predictions[f"labels.{split}"] for name in ("chosen", "base")
            }
            assert verdict["base"][split]["correct"] == right["base"].sum()
            assert verdict["base"]["gain"][split]["mean"] == pytest.approx(
                right["chosen"].mean() - right["base"].mean()
            )
    reference = load_file(run.directory / "reference" / "final" / "student.safetensors")
    alone = {"distill.views": "{edge: null, high_frequency: null}", "distill.contrast.weight": 0}
    assert run(*set_({**same_teacher, **alone}), "--until", "distill").code == 0
    own = load_file(run.directory / "distill" / "final" / "student.safetensors")
    assert all(np.array_equal(reference[key], own[key]) for key in own)


def test_reference_is_skipped_unless_asked_for() -> None:
    stage = ReferenceStage()
    assert stage.skipped(load_recipe("quickstart", ["distill.reference=none"]).recipe) is not None
    assert stage.skipped(load_recipe("quickstart", ["distill.reference=base"]).recipe) is None
    kd = load_recipe("quickstart", ["distill.reference=base", "distill.method=kd"]).recipe
    assert stage.skipped(kd) is not None


def test_views_and_text_do_not_change_the_reference() -> None:
    stage = ReferenceStage()
    one = load_recipe("quickstart", ["distill.reference=base"]).recipe
    other = load_recipe("quickstart", ["distill.reference=base", "distill.views.edge.strength=0.7"]).recipe
    assert stage.parameters(one) == stage.parameters(other)
    assert stage.upstream(one) == ("data", "teacher")
