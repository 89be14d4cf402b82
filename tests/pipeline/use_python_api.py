"""A program that imports all modules, uses the Python API, and prints which process state has changed.

python -m tests.pipeline.use_python_api FOLDER [KEY=VALUE …]
"""

import decimal
import faulthandler
import gc
import importlib
import io
import locale
import logging
import multiprocessing
import os
import pkgutil
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageFile

# What libraries change by themselves when they are imported is not ours.
LIBRARIES = """
    torch torchvision timm open_clip torch.onnx torch.export torch._dynamo torch._inductor lightning_fabric
    lightning_fabric.strategies onnx onnx.shape_inference onnxruntime onnxruntime.quantization onnxscript
    safetensors.torch
    matplotlib fastapi rich.style scipy.optimize sklearn
"""
LOGGERS = (
    "",
    "exporters",
    "pipeline",
    "lightning_fabric",
    "PIL",
    "asyncio",
    "torch",
    "timm",
    "open_clip",
    "matplotlib",
)


QUICK: dict[str, Any] = {}
"""What is changed in the recipe."""


def torch_state() -> dict[str, Any]:
    """Global switches and the generator of PyTorch."""
    cudnn = torch.backends.cudnn
    return {
        "grad": torch.is_grad_enabled(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "defaults": (torch.get_default_dtype(), torch.get_default_device()),
        "matmul": (torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": torch.get_rng_state().numpy().tobytes(),
        "cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        "mkldnn": torch.backends.mkldnn.enabled,
        "sharing": torch.multiprocessing.get_sharing_strategy(),
        "trusted": set(map(str, torch.serialization.get_safe_globals())),
    }


def logger_state(name: str) -> tuple[Any, ...]:
    """What is set on one logger."""
    logger = logging.getLogger(name)
    return logger.level, logger.handlers[:], logger.filters[:], logger.disabled, logger.propagate


def state() -> dict[str, Any]:
    """All that belongs to the whole process."""
    limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    mask = os.umask(0o22)
    os.umask(mask)
    return {
        **{f"torch {name}": value for name, value in torch_state().items()},
        **{f"environment {name}": value for name, value in os.environ.items()},
        **{f"limit {name}": resource.getrlimit(getattr(resource, name)) for name in limits},
        **{f"signal {number}": signal.getsignal(number) for number in signal.valid_signals()},
        **{f"logger {name}": logger_state(name) for name in LOGGERS},
        "logging": (logging.root.manager.disable, logging.raiseExceptions, logging.getLogRecordFactory()),
        "warnings": (warnings.filters[:], warnings.showwarning, sys.warnoptions[:]),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook, sys.gettrace()),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "path": sys.path[:],
        "folder": Path.cwd(),
        "umask": mask,
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "numpy": (np.geterr(), np.get_printoptions(), str(np.random.get_state())),
        "random": random.getstate(),
        "decimal": str(decimal.getcontext()),
        "pillow": (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK),
        "matplotlib": dict(matplotlib.rcParams),
        "locale": locale.setlocale(locale.LC_ALL),
        "zone": time.tzname,
        "socket": socket.getdefaulttimeout(),
        "temporary": tempfile.tempdir,
        "interpreter": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), gc.get_threshold()),
        "processes": multiprocessing.get_start_method(),
        "faults": faulthandler.is_enabled(),
        "threads": threads(),
    }


def threads() -> list[str]:
    """Python's threads but tqdm's own; one that is about to end has two seconds for it."""
    for _ in range(40):
        found = sorted(thread.name for thread in threading.enumerate() if thread.name != "tqdm_monitor")
        if len(found) == 1:
            break
        time.sleep(0.05)
    return found


def report(before: dict[str, Any], what: str) -> None:
    """Print what has changed."""
    after = state()
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            print(f"{what}: {name}: {before.get(name)!r} -> {after.get(name)!r}"[:500])


def import_everything() -> None:
    """Import every module of both packages but those that are programs."""
    for package in map(importlib.import_module, ("exporters", "pipeline")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def main(folder: Path, *overrides: str) -> None:
    """Import, train, run the whole way, and use the bundle."""
    for library in LIBRARIES.split():
        importlib.import_module(library)
    tempfile.gettempdir()  # which Python keeps
    before = state()
    import_everything()
    report(before, "import")

    from exporters.bundle.verify import verify_bundle
    from exporters.client import Student
    from pipeline.console import Console
    from pipeline.preflight import Preflight
    from pipeline.recipe import load_recipe
    from pipeline.runner.engine import execute
    from pipeline.runner.rundir import RunDirectory
    from pipeline.stages.registry import STAGES
    from tests.pipeline.conftest import make_data, write_recipe

    logging.disable(logging.INFO)  # the caller's own choices
    warnings.simplefilter("once")
    torch.manual_seed(7)
    before = state()
    QUICK.update((key, int(value)) for key, value in (override.split("=") for override in overrides))
    recipe = load_recipe(write_recipe(folder / "tiny.yaml", make_data(folder / "photos")), overrides).recipe
    run = RunDirectory(folder / "run")
    for stage in STAGES:
        execute(STAGES, recipe, run, Console(io.StringIO(), plain=True), Preflight, until=stage.name)
        report(before, stage.name)
    verify_bundle(folder / "run" / "bundle")
    Student.load(folder / "run" / "bundle").predict(next((folder / "photos").rglob("*.png")))
    report(before, "bundle in use")
    run_and_verify(folder)
    report(before, "run and verify")
    in_a_thread(lambda: compare_and_export(folder))
    report(before, "compare and export in a thread")


def run_and_verify(folder: Path) -> None:
    """A finished run again, from a notebook, with its page."""
    import pipeline
    from pipeline.errors import UsageError

    recipe = pipeline.load_recipe(folder / "tiny.yaml", overrides=QUICK)
    result = pipeline.run(recipe, run_dir=folder / "run", quiet=True)
    assert result.bundle is not None and result.report is not None and result._repr_html_()
    pipeline.verify(result.bundle, data=folder / "photos", quiet=True)
    try:
        pipeline.load_recipe({"studnet": 1})
    except UsageError:
        return
    raise AssertionError("a mistake was not refused")


def compare_and_export(folder: Path) -> None:
    """What trains and converts, where signal handlers cannot be set."""
    import pipeline

    recipe = pipeline.load_recipe(folder / "tiny.yaml", overrides=QUICK)
    pipeline.compare(recipe, methods=["ce"], seeds=1, run_dir=folder / "compared", report=False, quiet=True)
    pipeline.export(folder / "run", folder / "exported", quiet=True)


def in_a_thread(work: Callable[[], None]) -> None:
    """Do the work in another thread; its error is raised here."""
    failed: list[BaseException] = []

    def safely() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=safely)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
