"""Int8 from the exported fp32 file: for ONNX Runtime on CPUs, and for TensorRT."""

from exporters.quantize.calibration import Calibration, Ranges, calibrate
from exporters.quantize.qdq import quantize
from exporters.quantize.search import QuantizeResult, search_float_layers
from exporters.quantize.selection import Target

__all__ = ["Calibration", "QuantizeResult", "Ranges", "Target", "calibrate", "quantize", "search_float_layers"]
