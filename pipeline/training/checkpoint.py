"""The state of a training between two epochs: one file, whole or absent, usable by the same training only."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from exporters.core.files import atomic_path


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file and the fingerprint of the training that may resume from it.

    Attributes:
        path: the file.
        fingerprint: of all that the training depends on; a checkpoint with another one is not used.
    """

    path: Path
    fingerprint: str

    def load(self) -> dict[str, Any] | None:
        """The saved state, tensors on the CPU; None where there is none, or it is of another training.

        A damaged file counts as none: training then starts over, which costs time and never correctness.
        """
        if not self.path.is_file():
            return None
        try:
            # The file is a zip archive, and PyTorch does not compare the checksums that it wrote into it.
            with zipfile.ZipFile(self.path) as archive:
                if archive.testzip() is not None:
                    return None
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # each damage has an error of its own, of zipfile or of the unpickler; all mean the same
            return None
        if not isinstance(saved, dict) or saved.get("fingerprint") != self.fingerprint:
            return None
        return saved["state"]

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file by this state, atomically.

        Raises:
            WriteError: it cannot be written; the state that was saved before is still there.
        """
        # Through a stream, whose error says what PyTorch's own does not: that the disk is full.
        with atomic_path(self.path) as temporary, temporary.open("wb") as stream:
            torch.save({"fingerprint": self.fingerprint, "state": state}, stream)

    def remove(self) -> None:
        """Remove the file, once the results of the training are written."""
        self.path.unlink(missing_ok=True)
