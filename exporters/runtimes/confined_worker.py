"""The process that `exporters.runtimes.confined` starts: one request on standard input, one answer on standard output.

Both are a line of JSON, and the bytes that it speaks of.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from exporters.core.arrays import npz_bytes, read_npz
from exporters.core.errors import TmkdError, UnavailableError
from exporters.runtimes.base import Explained, Explainer
from exporters.runtimes.files import import_libraries, load


def answer(requests: BinaryIO, replies: BinaryIO) -> None:
    """Read {"memory", "seconds", "classes", "images", "files"}, an `.npz` and a model's files of these lengths.

    The limits hold from then on. The answer is {"logits": [[begin, length], …]} with two `.npz`, of all images together
    and of one after the other; or {"error"}; or {"missing", "remedy"} where the runtime is. Where the request has a
    "map_size" [h, w], the answer has "cam", class activation maps in the same form.
    """
    request = json.loads(requests.readline())
    payload = requests.read(request["images"])
    files = tuple(requests.read(size) for size in request["files"])
    content = b""
    reply: dict[str, Any]
    try:
        import_libraries(files)  # their memory does not count
        confine(request["memory"], request["seconds"])
        images = read_npz("images", payload, "image")
        runtime = load(files)
        shapes: dict[str, tuple[int, ...]] = {"logits": (len(images), request["classes"])}
        if map_size := request.get("map_size"):
            shapes["cam"] = (len(images), *map_size)
        found = _answers(runtime, images, with_maps="cam" in shapes)
        reply = {}
        for key, shape in shapes.items():
            given = [list(each.shape) for each in found[key]]
            if any(each != list(shape) for each in given):
                reply, content = {"error": f"gives {key} {given}, not {list(shape)}"}, b""
                break
            reply[key] = []
            for each in found[key]:
                part = npz_bytes(key, each)
                reply[key].append([len(content), len(part)])
                content += part
    except UnavailableError as error:
        reply = {"missing": error.message, "remedy": error.remedy}
    except TmkdError as error:
        reply = {"error": error.message}
    except MemoryError:
        reply = {"error": "takes more memory than any such network needs"}
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).split("\n")[0][:300] or type(error).__name__
        reply = {"error": f"cannot be run by {'ONNX Runtime' if len(files) == 1 else 'OpenVINO'}: {reason}"}
    replies.write(json.dumps(reply).encode() + b"\n" + content)
    replies.flush()


def _answers(runtime: Explainer, images: np.ndarray, *, with_maps: bool) -> dict[str, list[np.ndarray]]:
    """By output, the answers to all images together, and to one after the other."""
    if not with_maps:
        return {"logits": [runtime.predict(images), np.concatenate([runtime.predict(image[None]) for image in images])]}
    together, single = runtime.explain(images), [runtime.explain(image[None]) for image in images]
    return {
        key: [together[part], np.concatenate([each[part] for each in single])]
        for part, key in enumerate(Explained._fields)
    }


def confine(memory: int, seconds: float) -> None:
    """Take no more than so many bytes of address space beyond those of now, and seconds of the processor from now on.

    No files are written, and no core is dumped. Systems without such limits (Windows) have none.
    """
    try:
        import resource
    except ModuleNotFoundError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    with suppress(ValueError, OSError):  # the limits that this process was started with may be lower
        resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 1))
    for limit, most in (
        (resource.RLIMIT_AS, _address_space() + memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


def _address_space() -> int:
    """Bytes of address space that this process has; on systems that do not tell, more than it ever has."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 2**35
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Answer standard input; what libraries print goes nowhere, not between the answers."""
    with os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)
        answer(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
