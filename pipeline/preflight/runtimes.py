"""Where the exported files have to run: ONNX Runtime's provider, and TensorRT where engines are required."""

from exporters.core.errors import TmkdError
from pipeline.preflight.base import Report, Subject
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

    try:
        find_provider(provider)
    except TmkdError as error:
        error.message = f"parity.provider: {error.message}"
        raise


def check_library(subject: Subject, report: Report) -> None:
    """Look for a TensorRT, where engines are required.

    Raises:
        UsageError, UnavailableError: as `exporters.artifacts.engines.check_library`.
    """
    artifacts.check_machine(subject.recipe, run=False)


def check_engines(subject: Subject, report: Report) -> None:
    """Look for a GPU on which the engines run, where they are required.

    Raises:
        UsageError, UnavailableError: as `exporters.artifacts.engines.check_machine`.
    """
    artifacts.check_machine(subject.recipe, run=True)
