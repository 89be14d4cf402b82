"""A runtime in a child process, which runs `exporters.benchmark.worker`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from exporters.core.arrays import npz_bytes
from exporters.core.errors import GateError, TmkdError, UnavailableError, UsageError
from exporters.core.files import sha256_bytes

_ROOT = Path(__file__).resolve().parents[2]
_ERRORS: dict[int, type[TmkdError]] = {2: UsageError, 3: GateError}
_PATIENCE = 10.0


class Child:
    """A process that holds one runtime; a `Timed`. Use it in a `with` block, which ends the process.

    Args:
        name: what messages call it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        # -P: nothing is imported from the working directory by accident.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "exporters.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.resident_bytes: int | None = None

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def load_onnx(self, model: bytes, images: np.ndarray, provider: str, threads: int) -> None:
        """Load an ONNX file; raises what `OnnxRuntime` raises."""
        payload = npz_bytes("image", images)
        request = {"kind": "onnx", "device": provider, "threads": threads, "images": len(payload), "model": len(model)}
        self._ask({"do": "load", **request}, payload, model)

    def load_engine(self, plan: bytes, images: np.ndarray, library: str) -> None:
        """Load a TensorRT engine whose hash was checked; raises what `TensorRTRuntime` raises."""
        payload = npz_bytes("image", images)
        request = {"kind": "engine", "device": library, "images": len(payload), "model": len(plan)}
        self._ask({"do": "load", **request, "sha256": sha256_bytes(plan)}, payload, plan)

    def load_openvino(self, xml: bytes, weights: bytes, images: np.ndarray, threads: int) -> None:
        """Load both files of OpenVINO IR; raises what `OpenVinoRuntime` raises."""
        payload = npz_bytes("image", images)
        request = {"kind": "openvino", "threads": threads, "images": len(payload), "model": len(xml) + len(weights)}
        self._ask({"do": "load", **request, "xml": len(xml)}, payload, xml, weights)

    def load_torch(self, student: Path, images: np.ndarray, device: str, threads: int) -> None:
        """Load a student in torch; raises what `load_student` and `TorchRuntime` raise."""
        payload = npz_bytes("image", images)
        request = {"kind": "torch", "device": device, "threads": threads, "images": len(payload), "model": 0}
        self._ask({"do": "load", **request, "student": str(student.resolve())}, payload)

    def logits(self) -> np.ndarray:
        """Logits `[N, K]` of the images, float32."""
        return np.asarray(self._ask({"do": "logits"})["logits"], dtype=np.float32)

    def time(self, batch: int, calls: int) -> list[float]:
        """See `Timed.time`."""
        return [float(value) for value in self._ask({"do": "time", "batch": batch, "calls": calls})["seconds"]]

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # it ended before it had read everything
                    continue
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _ask(self, request: dict[str, Any], *payloads: bytes) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            for payload in payloads:
                stdin.write(payload)
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            raise UnavailableError(
                f"{self._name}: the process that ran it ended ({self._last_words()})",
                remedy="If memory ran out, take smaller --batches.",
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            error = answer["error"]
            kind = _ERRORS.get(error["exit_code"], UnavailableError)
            raise kind(f"{self._name}: {error['message']}", remedy=error["remedy"])
        self.resident_bytes = answer["resident_bytes"]
        return answer

    def _last_words(self) -> str:
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return "it no longer answered"
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"signal {-code}" if code < 0 else lines[-1][:300] if lines else f"exit code {code}"
