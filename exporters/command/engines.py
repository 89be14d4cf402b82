"""The TensorRT engines of an export: what no engine or machine has is refused early; progress while they are built."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from exporters.artifacts.context import Say
from exporters.artifacts.engines import check_machine
from exporters.command.task import ExportTask
from exporters.core.errors import UnavailableError
from exporters.tensorrt.progress import Progress

OR_LESS = "--tensorrt available keeps what can be made and proved here."
_SECONDS_BETWEEN_LINES = 10.0


def check_engines(task: ExportTask) -> None:
    """Refuse, before anything is made, what no engine has, and a machine on which required ones cannot be proved.

    Raises:
        UsageError: engines of images of any size, or of probabilities.
        UnavailableError: as `exporters.artifacts.engines.check_machine`.
    """
    if task.request.engines is None:
        return
    task.refuse_forms(
        lambda option: f"{option} is for ONNX files: an engine takes images of one size, and gives logits alone"
    )
    if task.request.engines.required:
        try:
            check_machine(task.request.engines.settings)
        except UnavailableError as error:
            raise UnavailableError(error.message, remedy=f"{error.remedy or ''} {OR_LESS}".strip()) from error


def tracked(say: Say) -> Callable[[str], AbstractContextManager[Progress]]:
    """Reports from time to time how much of an engine is built, as `build_engines` takes it."""

    @contextmanager
    def track(name: str) -> Iterator[Progress]:
        reported = time.monotonic()

        def progress(_phase: str, share: float) -> None:
            nonlocal reported
            if time.monotonic() - reported > _SECONDS_BETWEEN_LINES:
                reported = time.monotonic()
                say(f"  {name}: {100 * share:.0f} % built")

        say(f"{name}: built by TensorRT")
        yield progress

    return track
