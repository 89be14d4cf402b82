"""Where exported files have to run, the student's and the teachers': ONNX Runtime's providers, and TensorRT."""

from collections.abc import Iterator
from contextlib import contextmanager

from exporters.core.errors import TmkdError
from pipeline.preflight.base import Report, Subject
from pipeline.recipe.needs import needs_teacher
from pipeline.stages.shared import artifacts


def check_provider(subject: Subject, report: Report) -> None:
    """Ask ONNX Runtime for the provider of parity; the CPU is always there.

    Raises:
        UnavailableError: it is not there.
    """
    provider = subject.recipe.parity.provider
    if provider == "cpu":
        return
    from exporters.runtimes.ort import find_provider

    with _about("parity.provider"):
        find_provider(provider)


def check_library(subject: Subject, report: Report) -> None:
    """Look for a TensorRT, where engines are required.

    Raises:
        UsageError, UnavailableError: as `exporters.artifacts.engines.check_library`.
    """
    with _about("export.tensorrt"):
        artifacts.check_machine(subject.recipe, run=False)


def check_engines(subject: Subject, report: Report) -> None:
    """Look for a GPU on which the engines run, where they are required.

    Raises:
        UsageError, UnavailableError: as `exporters.artifacts.engines.check_machine`.
    """
    with _about("export.tensorrt"):
        artifacts.check_machine(subject.recipe, run=True)


def check_openvino(subject: Subject, report: Report) -> None:
    """Look for OpenVINO, where its files are required.

    Raises:
        UnavailableError: it is not there.
    """
    if subject.recipe.export.openvino.when == "required":
        from exporters.openvino.library import find

        with _about("export.openvino"):
            find()


def check_teacher_runtime(subject: Subject, report: Report) -> None:
    """Ask for what the frozen teachers are to run in, where the recipe says what.

    Raises:
        UnavailableError: it is not there.
    """
    recipe = subject.recipe
    if recipe.teacher.runtime not in ("onnxruntime", "openvino", "tensorrt") or not needs_teacher(recipe):
        return
    from pipeline.models.deployment.runners import find_library
    from pipeline.training.device import choose_device

    device, _precision = choose_device(recipe.device, recipe.train.precision)
    with _about("teacher.runtime"):
        find_library(recipe.teacher.runtime, device)


@contextmanager
def _about(key: str) -> Iterator[None]:
    """A block whose errors name a key of the recipe."""
    try:
        yield
    except TmkdError as error:
        error.message = f"{key}: {error.message.removeprefix(f'{key}: ')}"
        raise
