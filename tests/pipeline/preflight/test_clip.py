from pipeline.preflight import clip
from tests.pipeline.preflight.conftest import Prospect


def test_clip_is_loaded_only_where_a_stage_uses_it(prospect: Prospect) -> None:
    missing = "teacher.text.model=./no-such.json"
    (error,) = prospect.report(clip.check, missing).errors
    assert "no-such.json" in error.message
    assert not prospect.report(clip.check, missing, stages=("teacher", "distill")).errors  # fitted before
    assert not prospect.report(clip.check).errors
    anchored = ("teacher.text.tower=teacher", "teacher.text.anchors=anchors.npz")
    assert not prospect.report(clip.check, missing, *anchored).errors  # no text tower is built
