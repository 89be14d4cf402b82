"""The runtime that a model's files are for, by how many they are."""

from exporters.runtimes.base import Explainer
from exporters.runtimes.ort import OnnxRuntime

Files = tuple[bytes, ...]
"""An ONNX file; or the two files of OpenVINO IR, the XML first."""


def load(files: Files) -> Explainer:
    """A model on one thread of the CPU.

    Raises:
        UnavailableError: onnxruntime or OpenVINO is missing.
        GateError: the files cannot be loaded, or are none of a bundle's models.
    """
    if len(files) == 1:
        return OnnxRuntime(files[0], threads=1)
    from exporters.runtimes.openvino import OpenVinoRuntime

    xml, weights = files
    return OpenVinoRuntime(xml, weights, threads=1)


def import_libraries(files: Files) -> None:
    """Import what `load` needs for these files; raises UnavailableError where it is missing."""
    if len(files) == 1:
        from exporters.runtimes.ort import find_provider

        find_provider("cpu")
        return
    from exporters.openvino.library import find

    find()
