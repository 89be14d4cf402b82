from pathlib import Path

import numpy as np

from pipeline.preflight import embeddings
from tests.pipeline.preflight.conftest import Prospect


def test_files_of_anchors_without_the_classes_are_reported_with_their_key(prospect: Prospect, tmp_path: Path) -> None:
    file = tmp_path / "anchors.npz"
    np.savez(file, names=np.array(["no such class"]), embeddings=np.ones((1, 4), dtype=np.float32))
    anchors = f"teacher.text.anchors={file}"
    (error,) = prospect.report(embeddings.check, anchors).errors
    assert error.message.startswith("teacher.text.anchors: ")
    assert not prospect.report(embeddings.check, anchors, "distill.method=kd").errors
    assert not prospect.report(embeddings.check, anchors, stages=("data", "teacher")).errors
    # A tower is fitted to them, which comes before the student.
    assert not prospect.report(embeddings.check, anchors, stages=("data", "text")).errors
    assert prospect.report(embeddings.check, anchors, "teacher.text.tower=teacher", stages=("data", "text")).errors
