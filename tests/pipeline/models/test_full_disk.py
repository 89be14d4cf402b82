"""Weights downloaded to a full disk: the remedy is to make room, not to check the internet."""

import errno
import os
from pathlib import Path

import open_clip
import pytest

from exporters.core.write_errors import WriteError
from exporters.student.architectures import Architecture
from pipeline.models.clip import load_clip
from pipeline.models.weights import _imagenet
from tests.small_disk import small_disk


def test_unwritable_cache_of_imagenet_weights_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", 2**16) as disk:
        disk.remount("ro")
        monkeypatch.setenv("TORCH_HOME", str(disk.path / "torch"))
        with pytest.raises(WriteError, match=rf"^{disk.path}/torch\S*: cannot be written: .* read-only"):
            _imagenet(Architecture("resnet18", "torchvision"))


def test_full_disk_for_clip_weights_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RuntimeError("Failed to download weights") from error

    monkeypatch.setattr(open_clip, "create_model", fail)
    with pytest.raises(WriteError, match=r"cannot be written: the disk is full \(.* MB are free") as caught:
        load_clip("ViT-B-32", "openai")
    assert "internet" not in str(caught.value) and "Make room" in str(caught.value)
