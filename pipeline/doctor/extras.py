"""Which extras of the package are installed, by the modules that they bring."""

from collections.abc import Iterator
from importlib.util import find_spec

from pipeline.doctor.finding import Finding

_TRAINING = ("torch", "torchvision", "timm", "lightning_fabric", "open_clip", "safetensors", "onnx", "onnxscript")
EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "cpu": ((*_TRAINING, "cyclonedx", "matplotlib", "onnxruntime"), "training, export and comparison"),
    "serve": (("fastapi", "httptools", "python_multipart", "prometheus_client", "onnxruntime"), "`serve`"),
    "search": (("optuna",), "`search`"),
    "signing": (("model_signing", "OpenSSL"), "signatures of bundles"),
    "track": (("tensorboard", "mlflow", "sqlalchemy", "alembic", "wandb"), "trackers"),
    "openvino": (("openvino",), "OpenVINO IR in bundles, faster teachers on the CPU"),
    "hf": (("datasets",), "data sets of the Hugging Face library"),
}
"""Extra → modules that it brings, and what they are for; `gpu` brings what `cpu` does, and another ONNX Runtime."""


def examine_extras() -> Iterator[Finding]:
    """Look for the modules of each extra; none is imported."""
    for extra, (modules, purpose) in EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        about = f"extra {extra}" if extra != "cpu" else "extra cpu or gpu"
        if not missing:
            yield Finding(about, "ok", f"{purpose}: installed")
            continue
        found = "not installed" if len(missing) == len(modules) else f"without {', '.join(missing)}"
        yield Finding(about, "note", found, f"no {purpose}", f"pip install 'tmkd-pipeline[{extra}]'")
