"""One runtime in a process of its own, which `exporters.benchmark.child` starts, so that its memory is its own.

Requests are lines of JSON on standard input, what they carry follows their line; each is answered by a line of JSON.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from exporters.benchmark.memory import resident_bytes
from exporters.benchmark.rounds import InProcess
from exporters.core.arrays import read_npz
from exporters.core.errors import TmkdError
from exporters.runtimes import OnnxRuntime, Runtime, TorchRuntime


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until there are no more.

    `load` makes the runtime from {"kind": "onnx", "openvino", "engine" or "torch", "device", "threads", "student",
    "sha256", "xml", "images", "model"}, the last two being the lengths of an `.npz` and of an ONNX file, a plan or an
    IR that follow, and "xml" where the weights of an IR begin; `logits` answers to the images; `time` times {"batch",
    "calls"}. Every answer has `resident_bytes`; one that failed has only `error`.
    """
    runtime: Runtime | None = None
    images = np.zeros(0, np.uint8)
    for line in iter(requests.readline, b""):
        request = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if request["do"] == "load":
                payload, model = (requests.read(request[key]) for key in ("images", "model"))
                images = read_npz("images", payload, "image")
                runtime = _load(request, model)
                del payload, model
            elif runtime is None:
                raise RuntimeError("nothing was loaded")
            elif request["do"] == "logits":
                answer["logits"] = runtime.predict(images).tolist()
            else:
                answer["seconds"] = InProcess(runtime, images).time(request["batch"], request["calls"])
            answer["resident_bytes"] = resident_bytes()
        except TmkdError as error:
            answer = {"error": {"exit_code": error.exit_code, "message": error.message, "remedy": error.remedy}}
        except Exception as error:  # whatever a runtime raises, onnxruntime's exceptions share no base class
            reason = str(error).split("\n")[0][:300] or "no reason given"
            answer = {"error": {"exit_code": 4, "message": f"{type(error).__name__}: {reason}", "remedy": None}}
        replies.write(json.dumps(answer).encode() + b"\n")
        replies.flush()


def _load(request: Mapping[str, Any], model: bytes) -> Runtime:
    if request["kind"] == "onnx":
        return OnnxRuntime(model, request["device"], request["threads"])
    if request["kind"] == "openvino":
        from exporters.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime(model[: request["xml"]], model[request["xml"] :], request["threads"])
    if request["kind"] == "engine":
        from exporters.runtimes.tensorrt import TensorRTRuntime

        return TensorRTRuntime(model, request["sha256"], request["device"])
    import torch

    from exporters.student.student import load_student

    torch.set_num_threads(request["threads"])
    return TorchRuntime(load_student(Path(request["student"])), request["device"])


def main() -> None:
    """Serve standard input; what libraries print goes to standard error, not between the answers."""
    with os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
