"""`metrics.jsonl`: one line of figures per epoch of each training; damaged lines are left out."""

import json
from pathlib import Path
from typing import Any

from exporters.core.files import write_text


def log_epoch(path: Path, stage: str, epoch: int, metrics: dict[str, Any]) -> None:
    """Add a line; what an earlier attempt wrote of this training from this epoch on is replaced.

    Args:
        path: the file; made on first use.
        stage: name of the training.
        epoch: from 1.
        metrics: JSON values by name.

    Raises:
        WriteError: it cannot be written.
    """
    kept = [text for text, line in _lines(path) if line is not None and (line[0] != stage or line[1] < epoch)]
    kept.append(json.dumps({"stage": stage, **metrics, "epoch": epoch}, sort_keys=True))
    write_text(path, "\n".join(kept) + "\n")


def read_epochs(path: Path) -> list[tuple[str, int, dict[str, Any]]]:
    """The training, the epoch and the figures of each line that can be read, in the order of the file."""
    return [(*line, json.loads(text)) for text, line in _lines(path) if line is not None]


def damaged_lines(path: Path) -> list[int]:
    """The numbers, from 1, of the lines that are no figures of an epoch; `log_epoch` leaves them out."""
    return [number for number, (_, line) in enumerate(_lines(path), start=1) if line is None]


def _lines(path: Path) -> list[tuple[str, tuple[str, int] | None]]:
    """Each line with the training and the epoch that it is of; None for both where it is damaged."""
    if not path.is_file():
        return []
    texts = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    return [(text, _place(text)) for text in texts if text.strip()]


def _place(text: str) -> tuple[str, int] | None:
    try:
        line = json.loads(text)
        stage, epoch = line["stage"], line["epoch"] if "epoch" in line else line["pass"]  # as earlier versions call it
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(stage, str) or not isinstance(epoch, int) or "\ufffd" in text:
        return None
    return stage, epoch
