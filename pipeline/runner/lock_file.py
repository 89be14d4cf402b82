"""`recipe.lock.yaml` and `environment.json`: what repeats a run, and what it ran on."""

import platform
import sys
from typing import Any

from exporters.benchmark.machine import processor
from exporters.core.errors import TmkdError
from exporters.core.files import read_json, write_json, write_text
from exporters.core.versions import installed_packages
from pipeline.recipe.accelerator import may_be_cuda
from pipeline.recipe.schema.lock import LockSettings
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.environment import describe_environment, loaded_gpu, loaded_threads
from pipeline.runner.rundir import RunDirectory

LOCK, ENVIRONMENT = "recipe.lock.yaml", "environment.json"


def write_lock(run: RunDirectory, recipe: Recipe) -> None:
    """Write both files, with all that is known by now: the images once the stage `data` is done, threads and GPU once
    PyTorch is loaded; until then as an earlier attempt has left them.

    Raises:
        UnavailableError: they cannot be written.
    """
    locked = recipe.model_copy(update={"device": _device(recipe), "lock": _lock(run, recipe)})
    write_text(run.path / LOCK, locked.to_yaml())
    write_json(run.path / ENVIRONMENT, describe_environment())


def _lock(run: RunDirectory, recipe: Recipe) -> LockSettings:
    before, gpu, device = _earlier(run), loaded_gpu(), _device(recipe)
    return LockSettings(
        data=_fingerprint(run),
        threads=loaded_threads() or (before.threads if before is not None else None),
        device=gpu or (device if device in ("cpu", "mps") else before.device if before is not None else None),
        processor=processor() or None,
        python=platform.python_version(),
        packages=installed_packages(),
    )


def _earlier(run: RunDirectory) -> LockSettings | None:
    """What the lock says that is there."""
    from pipeline.recipe.reading.load import load_recipe

    path = run.path / LOCK
    try:
        return load_recipe(str(path)).recipe.lock if path.is_file() else None
    except TmkdError:  # damaged, or of another version
        return None


def _fingerprint(run: RunDirectory) -> str | None:
    record = run.record("data")
    if record is None or record.status != "done":
        return None
    try:
        return str(read_json(run.folder("data") / "index.json")["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):  # damaged; the stage that reads it says so
        return None


def _device(recipe: Recipe) -> Any:
    """The device that `auto` means here, as far as it is known."""
    if recipe.device != "auto":
        return recipe.device
    if loaded_gpu() is not None:
        return "cuda"
    return "auto" if may_be_cuda(recipe) or sys.platform == "darwin" else "cpu"
