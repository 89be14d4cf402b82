"""TensorRT engines: built from proved ONNX files, described by a sidecar, never trusted without their sha256.

One route for TensorRT 10, TensorRT 11 and TensorRT for RTX: the precision is in the ONNX file, and the network is
strongly typed. Nothing here imports TensorRT before an engine is asked for.
"""

from exporters.tensorrt.build import EngineBuild, build_engine
from exporters.tensorrt.libraries import Flavour, Library, find
from exporters.tensorrt.settings import EngineSettings
from exporters.tensorrt.sidecar import check_fresh, read_sidecar, sidecar_path

__all__ = [
    "EngineBuild",
    "EngineSettings",
    "Flavour",
    "Library",
    "build_engine",
    "check_fresh",
    "find",
    "read_sidecar",
    "sidecar_path",
]
