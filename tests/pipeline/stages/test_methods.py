"""Methods with parts of their own, and networks that they cannot work with, in a whole run."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from exporters.core.files import read_json
from tests.pipeline.conftest import Run, set_


@pytest.mark.parametrize(
    "values",
    [
        {"distill.base": "fitnet", "distill.student_views": "true"},
        {"distill.base": "reviewkd"},
        {"distill.method": "reviewkd"},
        {"distill.base": "crd", "distill.feature.bank": "30"},
    ],
)
def test_method_modules_are_trained_and_not_saved(run: Run, values: dict[str, str]) -> None:
    before = load_file(run.directory / "distill" / "final" / "student.safetensors")
    outcome = run(*set_({**values, "train.epochs": 1}), "--until", "distill")
    assert outcome.code == 0 and outcome.stages_run[-1] == "distill", outcome.err
    (passed,) = read_json(run.directory / "distill" / "history.json")["epochs"]
    assert passed["loss_feature"] > 0 and (passed.get("loss_contrast", 0) > 0) is ("distill.base" in values)
    assert set(load_file(run.directory / "distill" / "final" / "student.safetensors")) == set(before)


def test_a_network_of_tokens_is_refused_by_methods_of_stages(run: Run) -> None:
    values = {"student.model": "timm:test_vit", "student.arguments": "{img_size: 32, patch_size: 8}"}
    outcome = run(*set_({**values, "distill.base": "fitnet"}), "--until", "distill")
    assert outcome.code == 2, outcome.err
    assert "the student has none" in outcome.err and "kd, dkd, logit_std, dist, mlld, crd, rkd (" in outcome.err


@pytest.mark.parametrize("section", ["student", "teacher.visual"])
def test_unknown_classifier_is_refused_with_its_key(run: Run, section: str) -> None:
    outcome = run(*set_({f"{section}.classifier": "fc"}), "--until", "distill")
    assert outcome.code == 2 and "Traceback" not in outcome.err
    message = " ".join(outcome.err.split())
    assert f"{section}.classifier: 'fc' is not the network's classifier: there is no such module" in message
    assert "linear (64 → 3)" in message


def test_the_classifier_by_name_is_the_one_that_is_found_and_trains_no_other_teacher(run: Run) -> None:
    before = load_file(run.directory / "distill" / "final" / "student.safetensors")
    named = {"teacher.visual.classifier": "linear", "student.classifier": "linear"}
    assert {stage: action for stage, (action, _) in run.plan(named).items()}["teacher"] == "reuse"
    outcome = run(*set_(named), "--until", "validate")
    assert outcome.code == 0 and outcome.stages_run == ["distill"], outcome.err  # and what follows is as it was
    after = load_file(run.directory / "distill" / "final" / "student.safetensors")
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_maps_of_stages_are_kept_in_the_teacher_cache_only_where_asked(run: Run) -> None:
    values = {"distill.base": "fitnet", "distill.teacher_cache.passes": 1, "train.epochs": 1}
    outcome = run(*set_(values), "--until", "distill")
    assert outcome.code == 0 and "teacher cache: not used" in outcome.out, outcome.err
    losses = (run.directory / "distill" / "history.json").read_bytes()
    outcome = run(*set_(values | {"distill.teacher_cache.stages": "true"}), "--until", "distill")
    assert outcome.code == 0 and {"stage0-rgb.npy", "logits-edge"} & {
        p.name for p in run.directory.rglob("cache/*/*/*")
    }
    assert (run.directory / "distill" / "history.json").read_bytes() == losses
