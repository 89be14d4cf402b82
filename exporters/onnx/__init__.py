"""The student as ONNX: writing it, and reading it again without the onnx package."""
