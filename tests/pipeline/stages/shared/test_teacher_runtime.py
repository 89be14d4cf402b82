from dataclasses import replace
from pathlib import Path

import torch

from pipeline.models.deployment.choice import kept_decision
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.shared.inputs import read_teacher
from pipeline.stages.shared.teacher_runtime import visual_identity
from pipeline.training.device import make_fabric
from tests.pipeline.conftest import Outcome, Run
from tests.pipeline.stages.contexts import context_of


def test_decision_is_kept_in_the_cache_and_read_by_every_later_stage(finished: tuple[Run, Outcome]) -> None:
    """The stages have decided already; whoever reads the teacher again finds what they found, and says nothing."""
    context, fabric = context_of(finished[0]), make_fabric("cpu", "fp32")
    files = sorted((context.run.cache / "runtime").glob("*.json"))
    before = {path: path.read_bytes() for path in files}
    teacher = read_teacher(context, fabric)
    assert teacher.decisions and {each.network for each in teacher.decisions} <= {
        kept.network for path in files if (kept := kept_decision(path))
    }
    assert {path: path.read_bytes() for path in sorted((context.run.cache / "runtime").glob("*.json"))} == before
    assert visual_identity(context, fabric) == teacher.decisions[0].identity


def test_outcome_is_in_the_records_of_the_stages(finished: tuple[Run, Outcome]) -> None:
    context = context_of(finished[0])
    for stage in ("fusion", "distill"):
        record = context.run.record(stage)
        assert record is not None
        (visual, *_) = record.summary["teacher_runtimes"]
        assert visual["network"] == "visual teacher" and visual["runtime"] == "torch"
        assert 0 <= visual["error"] <= visual["bound"] and visual["speed"] > 0


def test_another_runtime_is_another_decision(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    fabric, usual = make_fabric("cpu", "fp32"), context_of(finished[0])
    elsewhere = RunDirectory(finished[0].directory, cache=tmp_path)
    eager = replace(context_of(finished[0], teacher__runtime="eager"), run=elsewhere)
    assert visual_identity(eager, fabric) is None
    found = read_teacher(eager, fabric)
    images = torch.rand(3, 3, 32, 32)
    other = read_teacher(usual, fabric).look(images).output.logits
    torch.testing.assert_close(found.look(images).output.logits, other, rtol=1e-3, atol=1e-4)
    assert visual_identity(eager, fabric) == found.decisions[0].identity != visual_identity(usual, fabric)
