"""Does a file load where there is nothing but ONNX Runtime and NumPy?"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Whatever else is asked for is as if it were not installed; an operator library would have to come from a package.
PREAMBLE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy", "onnxruntime"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
"""
_RUN = """
from pathlib import Path
import numpy, onnxruntime
folder = Path(sys.argv[1])
images = numpy.load(folder / "images.npy")
for path in sorted(folder.glob("*.onnx")):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images})
    numpy.save(path.with_suffix(".npy"), logits)
"""


class PlainError(Exception):
    """A file does not load or run there; the message is the last line of what Python said."""


def run_plain(models: Mapping[str, bytes], images: np.ndarray) -> dict[str, np.ndarray]:
    """Logits `[N, K]` by name, from a fresh Python that can import NumPy and ONNX Runtime alone.

    Raises:
        PlainError: a file that needs more, or is broken.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", images)
        for index, data in enumerate(models.values()):
            (folder / f"{index}.onnx").write_bytes(data)
        run = subprocess.run(
            [sys.executable, "-I", "-c", PREAMBLE + _RUN, str(folder)], capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            raise PlainError(run.stderr.strip().splitlines()[-1])
        return {model: np.load(folder / f"{index}.npy") for index, model in enumerate(models)}
