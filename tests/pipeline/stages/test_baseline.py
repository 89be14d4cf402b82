"""The stage `baseline`: plain training beside the distilled student, in full and short, and what is told of it."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from exporters.core.errors import GateError
from exporters.core.files import read_json
from pipeline.recipe import load_recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.baseline import BaselineStage
from pipeline.stages.fusion import FusionStage
from tests.pipeline.conftest import Outcome, Run, set_
from tests.pipeline.stages.contexts import context_of

FULL = {"student.baseline": "full"}


def weights(run: Run, stage: str, which: str = "final") -> dict[str, np.ndarray]:
    return load_file(run.directory / stage / which / "student.safetensors")


def test_full_baseline_is_plain_training_bit_for_bit(run: Run) -> None:
    outcome = run(*set_(FULL), "--until", "baseline")
    assert outcome.code == 0 and outcome.stages_run == ["baseline"], outcome.err
    assert "plain training, from labels alone, for 2 of 2 epochs" in outcome.out
    assert run(*set_({"distill.method": "ce"}), "--until", "distill").stages_run == ["distill"]
    for which in ("chosen", "final"):
        baseline, plain = weights(run, "baseline", which), weights(run, "distill", which)
        assert all(np.array_equal(baseline[key], plain[key]) for key in plain)
    ours, theirs = (read_json(run.directory / stage / "history.json") for stage in ("baseline", "distill"))
    assert ours == theirs


def test_baseline_leaves_the_distilled_student_as_it_was_and_is_held_against_the_teacher(run: Run) -> None:
    outcome = run("--set", "student.baseline=auto", "--until", "validate")
    assert outcome.code == 0, outcome.err
    assert outcome.stages_run == ["baseline", "fusion", "validate"]  # teacher and student are reused
    history = read_json(run.directory / "baseline" / "history.json")
    assert len(history["epochs"]) == 1
    accuracy = 100 * history["epochs"][0]["validation_top1"]
    assert "on 12 validation images: the teacher " in outcome.out
    assert f"the student {accuracy:.2f} %" in outcome.out and "from labels alone, 1 of 2 epochs" in outcome.out
    assert "plain training (1 of 2 epochs)" in outcome.out
    assert run("--set", "student.baseline=auto", "--until", "validate").stages_run == []


@pytest.mark.parametrize(
    "overrides", [("student.baseline=null",), ("student.baseline=0.5",), ("distill.method=ce", "student.baseline=full")]
)
def test_baseline_is_skipped_where_it_is_given_or_plain_training_itself(overrides: tuple[str, ...]) -> None:
    assert BaselineStage().skipped(load_recipe("quickstart", overrides).recipe) is not None


def test_teacher_and_distillation_do_not_change_the_baseline() -> None:
    stage = BaselineStage()
    one = load_recipe("quickstart", ["student.baseline=full"]).recipe
    changes = ["distill.base=kd", "distill.ce.weight=0.3", "teacher.visual.fit.epochs=1", "distill.contrast.weight=0"]
    other = load_recipe("quickstart", ["student.baseline=full", *changes]).recipe
    assert stage.parameters(one) == stage.parameters(other)
    assert stage.upstream(one) == ("data",) and stage.modules(one) == ("pipeline.distill.methods.ce",)
    assert stage.parameters(load_recipe("quickstart", ["student.baseline=full", "seed=1"]).recipe) != (
        stage.parameters(one)
    )


def test_fusion_reads_the_baseline() -> None:
    assert "baseline" in FusionStage().upstream(load_recipe("quickstart").recipe)


def test_interrupted_baseline_resumes_bit_for_bit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(*set_(FULL), "--until", "baseline").code == 0
    expected = weights(run, "baseline")
    log = RunDirectory.log_metrics

    def interrupt(directory: RunDirectory, stage: str, pass_: int, metrics: dict[str, Any]) -> None:
        if stage == "baseline" and pass_ == 1:
            raise KeyboardInterrupt
        log(directory, stage, pass_, metrics)

    monkeypatch.setattr(RunDirectory, "log_metrics", interrupt)
    assert run(*set_(FULL), "--until", "baseline", "--force", "baseline").code == 130
    assert (run.directory / "baseline" / "checkpoint.pt").is_file()
    monkeypatch.undo()
    outcome = run(*set_(FULL), "--until", "baseline")
    assert outcome.code == 0 and "resuming after epoch 1 of 2" in outcome.out, outcome.err
    again = weights(run, "baseline")
    assert all(np.array_equal(expected[key], again[key]) for key in expected)


def test_diverged_plain_training_says_how_to_do_without(
    finished: tuple[Run, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_arguments: object) -> None:
        raise GateError("student: the loss is not finite", remedy="Lower train.lr.")

    monkeypatch.setattr("pipeline.stages.baseline.train_student", diverge)
    with pytest.raises(GateError) as caught:
        BaselineStage().run(context_of(finished[0], student__baseline="full"))
    assert str(caught.value) == (
        "plain training: student: the loss is not finite\n  Lower train.lr. student.baseline=null goes without it."
    )
