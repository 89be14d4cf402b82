"""A training whose view weights follow from whole images."""

import json
import re

import pytest
from safetensors.numpy import load_file

from pipeline.stages.fusion import FusionStage
from pipeline.stages.shared.cache_size import seen_bytes
from pipeline.stages.shared.student_training import student_parameters
from tests.pipeline.conftest import Run, set_
from tests.pipeline.stages.contexts import context_of

PLAIN = {"data.augment.crop": "none", "data.augment.flip": "false", "distill.weighting.by": "image_text"}


def losses(run: Run) -> list[float]:
    rows = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["stage"] == "distill"]


def test_where_nothing_is_cropped_both_ways_train_alike_and_clip_looks_once(run: Run) -> None:
    assert run(*set_(PLAIN), "--until", "distill").code == 0
    expected = losses(run)
    whole = PLAIN | {"distill.weighting.seen": "image"}
    outcome = run(*set_(whole), "--until", "distill")
    assert outcome.code == 0 and outcome.stages_run == ["distill"], outcome.err
    assert "CLIP looks once at 48 whole images, in 3 views" in outcome.out
    assert losses(run) == pytest.approx(expected, rel=1e-4)
    (folder,) = (run.directory / "cache" / "seen").iterdir()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    contents = sum(path.stat().st_size - 128 for path in folder.glob("*.npy"))  # without NumPy's heads
    text = load_file(run.directory / "text" / "embeddings.safetensors")["text"]
    assert f"what it says of 48 takes {contents / 1e3:.2f} kB on the disk" in outcome.out
    assert contents == seen_bytes(context_of(run).recipe, 48, 3, text.shape[-1])
    assert len(kept) == 6
    outcome = run(*set_(whole | {"seed": 5, "distill.teacher_cache.passes": 1}), "--until", "distill")
    assert outcome.code == 0 and "CLIP looks once" not in outcome.out
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npy")} == kept
    assert not list(run.directory.rglob("cache/teacher/*/embedding*"))


@pytest.mark.parametrize("passes", [0, 1])
def test_they_count_as_kept_outputs_where_these_are_bounded(run: Run, passes: int) -> None:
    seen = PLAIN | {"distill.weighting.seen": "image", "distill.teacher_cache.passes": passes}
    assert run(*set_(seen | {"distill.teacher_cache.max_gb": 1}), "--until", "distill").code == 0
    kept = sum(path.stat().st_size - 128 for path in run.directory.glob("cache/*/*/*.npy"))  # without NumPy's heads
    less = {"distill.teacher_cache.max_gb": (kept - 1) / 1e9, "seed": 5, "distill.teacher_cache.share": "seeds"}
    outcome = run(*set_(seen | less), "--until", "distill")
    assert outcome.code == 2 and ("distill.weighting.seen to crop" in outcome.err) == (not passes)
    cache = "the teacher cache would take .* in 1 epoch and " if passes else ""
    both = f"distill.teacher_cache.max_gb: {cache}what CLIP says of whole images "
    assert re.search(both, outcome.err) and bool(re.search("whole images would take", outcome.err)) == (not passes)
    enough = less | {"distill.teacher_cache.max_gb": kept / 1e9}
    assert run(*set_(seen | enough), "--until", "distill").code == 0


def test_what_clip_looks_at_changes_the_student_and_not_what_the_teacher_knows(finished: tuple[Run, object]) -> None:
    recipes = [context_of(finished[0], distill__weighting__seen=seen).recipe for seen in ("image", "crop")]
    assert student_parameters(recipes[0]) != student_parameters(recipes[1])
    assert FusionStage().parameters(recipes[0]) == FusionStage().parameters(recipes[1])
