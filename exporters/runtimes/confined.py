"""A model that nobody vouches for, run in a process of its own that can take no more than so much memory and time.

ONNX Runtime computes whatever a graph asks for: a constant of a terabyte while it loads, a product of matrices that
takes a day. Here that ends the process, and nothing else.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporters.core.arrays import npz_bytes, read_npz
from exporters.core.errors import GateError, UnavailableError
from exporters.runtimes.base import Explained
from exporters.runtimes.files import Files

_ROOT = Path(__file__).resolve().parents[2]
_MEMORY, _MEMORY_PER_PIXEL, _MOST_MEMORY = 2**30, 2**11, 2**35
_COPIES = 6  # of the model's bytes: the file, ONNX Runtime's parsed form and its rearranged weights
_SECONDS, _MOST_SECONDS = 60.0, 600.0
_WAITING = 4.0  # times the processor seconds: a busy machine gives a process only a part of them


@dataclass(frozen=True)
class Limits:
    """What the process may take.

    Args:
        memory: bytes of address space, beyond what Python and the libraries have.
        seconds: of the processor; four times as many may pass.
    """

    memory: int
    seconds: float

    @classmethod
    def for_model(cls, size: int, images: np.ndarray) -> "Limits":
        """Enough for any network of so many bytes on these images, uint8 `[n, S, S, 3]`; bounded in any case.

        2 KB a pixel are some ten maps of 50 channels at full resolution, all at once; the slowest networks of the field
        take less than a second an image of 224 pixels and 100 MB of weights.
        """
        pixels = images.size // 3
        memory = _MEMORY + _COPIES * size + _MEMORY_PER_PIXEL * pixels
        seconds = _SECONDS + pixels / 224**2 * (1 + size / 5e7)
        return cls(min(memory, _MOST_MEMORY), min(seconds, _MOST_SECONDS))


def confined_logits(
    name: str, files: Files, images: np.ndarray, classes: int, limits: Limits | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The logits of a model on the CPU, computed together and one by one: two arrays, float32 `[n, K]`.

    Args:
        name: of the model, for messages.
        files: its files, as `exporters.runtimes.files.load` takes them.
        images: uint8 `[n, S, S, 3]`.
        classes: K.
        limits: by default `Limits.for_model`.

    Raises:
        GateError: it cannot be loaded or run, gives something else, or takes more than its limits.
        UnavailableError: onnxruntime or OpenVINO is missing.
    """
    answer, found = _answer(name, files, images, classes, None, limits)
    together, single = (read_npz(name, found[start : start + size], "logits") for start, size in answer["logits"])
    return together, single


def confined_maps(
    name: str, files: Files, images: np.ndarray, classes: int, map_size: tuple[int, int], limits: Limits | None = None
) -> tuple[Explained, Explained]:
    """As `confined_logits`, with the class activation maps.

    Args:
        name, files, images, classes, limits: as there.
        map_size: height and width of the maps.
    """
    answer, found = _answer(name, files, images, classes, map_size, limits)
    logits, cam = (
        [read_npz(name, found[start : start + size], key) for start, size in answer[key]] for key in Explained._fields
    )
    return Explained(logits[0], cam[0]), Explained(logits[1], cam[1])


def _answer(
    name: str,
    files: Files,
    images: np.ndarray,
    classes: int,
    map_size: tuple[int, int] | None,
    limits: Limits | None,
) -> tuple[dict, bytes]:
    """The worker's answer, and the bytes that it speaks of; raises as `confined_logits`."""
    limits = limits or Limits.for_model(sum(map(len, files)), images)
    payload = npz_bytes("image", images)
    request = {
        "memory": limits.memory, "seconds": limits.seconds, "classes": classes, "map_size": map_size,
        "images": len(payload), "files": [len(data) for data in files],
    }  # fmt: skip
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(
        # -P: nothing is imported from the working directory by accident.
        [sys.executable, "-P", "-m", "exporters.runtimes.confined_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | one_thread | {"PYTHONPATH": path},
    ) as process:
        try:
            answer, found = _ask(process, json.dumps(request).encode() + b"\n", (payload, *files), limits)
        except subprocess.TimeoutExpired as error:
            raise GateError(f"{name}: not done within {_WAITING * limits.seconds:.0f} seconds") from error
        finally:
            process.kill()
    if answer is None:
        raise GateError(
            f"{name}: the process that ran it was ended ({_last_signal(process.returncode)}); it may take"
            f" {limits.memory / 1e9:.1f} GB and {limits.seconds:.0f} seconds"
        )
    if "missing" in answer:
        raise UnavailableError(answer["missing"], remedy=answer["remedy"])
    if "error" in answer:
        raise GateError(f"{name}: {answer['error']}")
    return answer, found


def _ask(
    process: "subprocess.Popen[bytes]", request: bytes, payloads: tuple[bytes, ...], limits: Limits
) -> tuple[dict | None, bytes]:
    """The answer's JSON and what follows it; None where the process ended without one."""
    assert process.stdin is not None
    try:
        # All of it is read before anything of it is used, so that this never waits for the model.
        for part in (request, *payloads):
            process.stdin.write(part)
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.stdin = None
    output, _ = process.communicate(timeout=_WAITING * limits.seconds)
    line, _, rest = output.partition(b"\n")
    return (json.loads(line) if line else None), rest


def _last_signal(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
