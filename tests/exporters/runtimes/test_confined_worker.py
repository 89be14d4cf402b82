"""The process that runs a model within limits."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest

from exporters.core.arrays import npz_bytes, read_npz
from exporters.runtimes import confined_worker
from tests.exporters.conftest import Exported


def answered(monkeypatch: pytest.MonkeyPatch, model: bytes, images: np.ndarray, classes: int) -> tuple[dict, bytes]:
    """In this process, which is not to be limited."""
    monkeypatch.setattr(confined_worker, "confine", lambda _memory, _seconds: None)
    payload = npz_bytes("image", images)
    request = {"memory": 1, "seconds": 1, "classes": classes, "images": len(payload), "files": [len(model)]}
    replies = io.BytesIO()
    confined_worker.answer(io.BytesIO(json.dumps(request).encode() + b"\n" + payload + model), replies)
    line, _, rest = replies.getvalue().partition(b"\n")
    return json.loads(line), rest


def test_answer_holds_the_logits_together_and_one_by_one(monkeypatch: pytest.MonkeyPatch, cifar: Exported) -> None:
    reply, rest = answered(monkeypatch, cifar.data, cifar.images[:3], 7)
    parts = [read_npz("x", rest[begin : begin + size], "logits") for begin, size in reply["logits"]]
    assert len(parts) == 2 and all(part.shape == (3, 7) for part in parts)
    np.testing.assert_allclose(parts[0], parts[1], atol=1e-4)


def test_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, cifar: Exported) -> None:
    reply, rest = answered(monkeypatch, b"x", cifar.images[:3], 7)
    assert "cannot be loaded" in reply["error"] and "\n" not in reply["error"] and rest == b""


def test_confined_process_gets_no_more_memory() -> None:
    code = (
        "from exporters.runtimes.confined_worker import confine\n"
        "confine(2**26, 100)\n"
        "bytearray(2**24)\n"
        "try:\n    bytearray(2**27)\nexcept MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0] == "refused"
