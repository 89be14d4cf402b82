"""Reading the `history.json` that a student's training leaves beside the student."""

from collections.abc import Mapping
from typing import Any


def chosen_score(history: Mapping[str, Any]) -> float:
    """The validation accuracy in [0, 1] of the chosen epoch.

    Args:
        history: as `pipeline.stages.shared.student_training.train_student` writes it.
    """
    return float(history["epochs"][history["chosen_epoch"] - 1]["validation_top1"])
