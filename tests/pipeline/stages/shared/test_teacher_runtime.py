import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.console import Console
from pipeline.models.deployment.choice import kept_decision
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.shared.teacher_runtime import visual_identity
from pipeline.stages.shared.teachers import read_teacher
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


@pytest.mark.parametrize("runtime", ["eager", "onnxruntime", "openvino"])
def test_another_runtime_is_another_decision(finished: tuple[Run, Outcome], tmp_path: Path, runtime: str) -> None:
    """It gives the same outputs and embeddings, and teacher caches are kept apart."""
    fabric, usual = make_fabric("cpu", "fp32"), context_of(finished[0])
    elsewhere = RunDirectory(finished[0].directory, cache=tmp_path)
    chosen = replace(context_of(finished[0], teacher__runtime=runtime), run=elsewhere)
    assert visual_identity(chosen, fabric) is None
    found, other = read_teacher(chosen, fabric), read_teacher(usual, fabric)
    images = torch.rand(3, 3, 32, 32)
    ours, theirs = found.look(images), other.look(images)
    torch.testing.assert_close(ours.output.logits, theirs.output.logits, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours.embeddings, theirs.embeddings, rtol=1e-3, atol=1e-3)
    assert {each.runtime for each in found.decisions} == {runtime} and len(found.decisions) == 2
    assert visual_identity(chosen, fabric) == found.decisions[0].identity != visual_identity(usual, fabric)
    assert found.tower_identity == found.decisions[1].identity != other.tower_identity


@pytest.mark.parametrize(("key", "network"), [("visual", "visual teacher"), ("text", "CLIP's image tower")])
def test_sharding_in_one_process_is_reported_and_changes_nothing(
    key: str, network: str, finished: tuple[Run, Outcome], tmp_path: Path
) -> None:
    fabric, usual = make_fabric("cpu", "fp32"), context_of(finished[0])
    elsewhere = RunDirectory(finished[0].directory, cache=tmp_path)
    chosen = replace(context_of(finished[0], **{f"teacher__{key}__shard": "true"}), run=elsewhere)
    stream = io.StringIO()
    chosen = replace(chosen, console=Console(stream, plain=True))
    found, images = read_teacher(chosen, fabric), torch.rand(3, 3, 32, 32)
    ours, theirs = found.look(images), read_teacher(usual, fabric).look(images)
    assert torch.equal(ours.output.logits, theirs.output.logits) and torch.equal(ours.embeddings, theirs.embeddings)
    assert visual_identity(chosen, fabric) == visual_identity(usual, fabric)
    assert stream.getvalue().count(f"{network}: teacher.{key}.shard has no effect in one process") == 1
