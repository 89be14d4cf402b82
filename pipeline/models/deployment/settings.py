"""What a frozen network can be run by, as recipes name it."""

from typing import Literal

Runtime = Literal["auto", "eager", "torch", "compile", "onnxruntime", "openvino", "tensorrt"]
"""`eager`: PyTorch, the network as it was trained. `torch`: batch norms folded, channels last. `compile`: the same by
`torch.compile`. `onnxruntime`: exported by our own exporter. `openvino`: the same file by OpenVINO, on the CPU.
`tensorrt`: the same file by ONNX Runtime's provider of TensorRT, on CUDA.
`auto`: see `candidates` in `pipeline.models.deployment.choice`."""
