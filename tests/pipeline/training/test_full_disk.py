"""Training on a full disk keeps its last checkpoint, and resumes from it once there is room."""

from pathlib import Path

import pytest

from exporters.core.write_errors import WriteError
from pipeline.training.checkpoint import Checkpoint
from tests.small_disk import small_disk

from .test_loop import assert_same_outcome
from .toy import Net, make_training, run


@pytest.mark.parametrize("left", [0, 4096, 12288])
def test_training_goes_on_once_there_is_room(left: int, tmp_path: Path) -> None:
    scores = [0.5, 0.7, 0.6, 0.7]
    (tmp_path / "whole").mkdir()
    whole = run(make_training(scores=scores), tmp_path / "whole")
    with small_disk(tmp_path / "disk", 2**20) as disk:

        def fill(epoch: int, _metrics: dict[str, float]) -> None:
            if epoch == 2:
                disk.fill(left)

        with pytest.raises(WriteError, match=r"checkpoint\.pt: cannot be written: the disk is full \(0\.0 MB are free"):
            run(make_training(scores=scores), disk.path, fill)
        saved = Checkpoint(disk.path / "checkpoint.pt", "one").load()
        assert saved is not None and len(saved["history"]) == 2
        kept = ["checkpoint.1.pt", "checkpoint.pt", "filler"]
        assert sorted(path.name for path in disk.path.iterdir()) == kept
        (disk.path / "filler").unlink()
        again = run(make_training(Net(33, 0.5), scores=scores[2:]), disk.path)
        assert_same_outcome(whole, again, (tmp_path / "whole", disk.path))
