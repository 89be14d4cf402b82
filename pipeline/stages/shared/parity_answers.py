"""What student and exported files answer on the validation split, computed by all processes of a run together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exporters.core.errors import GateError, UnavailableError
from pipeline.distributed.ranks import is_one_of_several
from pipeline.runner.stage import StageContext
from pipeline.runner.together import together
from pipeline.stages.shared.images import validation_batches
from pipeline.stages.shared.inputs import read_data

if TYPE_CHECKING:
    from exporters.parity import Answer, AskTogether
    from exporters.runtimes import Runtime


def asking_together(context: StageContext) -> "AskTogether | None":
    """How the process that judges asks runtimes with the help of the others; None where it is alone.

    They help where the student is in PyTorch and its file in ONNX Runtime, both on the CPU. What runs on a GPU is asked
    by the first process alone.
    """
    if not is_one_of_several():
        return None
    from exporters.runtimes import OnnxRuntime, TorchRuntime

    def ask(runtimes: "Sequence[Runtime]") -> "list[Answer] | None":
        files: list[bytes | None] = []
        for runtime in runtimes:
            if isinstance(runtime, TorchRuntime):
                files.append(None)
            elif (
                isinstance(runtime, OnnxRuntime)
                and runtime.provider == "CPUExecutionProvider"
                and isinstance(runtime.model, bytes)
            ):
                files.append(runtime.model)
            else:
                return None
        return answers_on_validation(context, files)

    return ask


@together
def answers_on_validation(context: StageContext, files: Sequence[bytes | None]) -> "list[Answer]":
    """Answers on each batch of the validation split, in its order; in a process that does not lead, none.

    Args:
        context: of a stage after `distill`.
        files: the runtimes: an ONNX file each, or None for the chosen student itself.

    Raises:
        UnavailableError: a process has no ONNX Runtime, cannot load a file, or cannot read an image.
    """
    import torch

    from exporters.runtimes import OnnxRuntime, TorchRuntime
    from exporters.student.student import load_student
    from pipeline.distributed.collectives import interleaved_for_leader, this_part

    def made(file: bytes | None) -> "Runtime":
        if file is None:
            return TorchRuntime(load_student(context.run.folder("distill") / "chosen"))
        try:
            return OnnxRuntime(file, threads=torch.get_num_threads())  # the processes of a machine share its cores
        except GateError as error:  # the process that judges has loaded it
            raise UnavailableError(f"an exported file cannot be loaded in every process: {error.message}") from error

    runtimes = [made(file) for file in files]
    data = read_data(context)
    with data.loader:
        mine = [
            (labels, names, [runtime.predict(images) for runtime in runtimes])
            for images, labels, names in validation_batches(data, this_part())
        ]
    return interleaved_for_leader(mine)
