"""The versions of the libraries that make a student and its files."""

import importlib.metadata

_PACKAGES = (
    "lightning-fabric",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "open_clip_torch",
    "openvino",
    "pillow",
    "safetensors",
    "timm",
    "tmkd-pipeline",
    "torch",
    "torchvision",
)


def installed_packages() -> dict[str, str]:
    """Version by name, of those that are installed; imports none of them."""
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
