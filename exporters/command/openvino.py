"""The OpenVINO IR of an export: refused early where it cannot be had, and put where it belongs."""

from exporters.artifacts.openvino import IrVerdict, make_irs, prove_irs, set_ir_aside
from exporters.artifacts.status import Status
from exporters.bundle.openvino import FOLDER
from exporters.command.staging import Staging
from exporters.command.task import ExportTask
from exporters.openvino.library import find


def check_openvino(task: ExportTask) -> None:
    """Refuse, before anything is made, IR of other forms, and a machine without OpenVINO.

    Raises:
        UsageError: IR of images of any size, or of probabilities.
        UnavailableError: OpenVINO is missing.
    """
    if task.request.irs:
        task.refuse_forms(
            lambda option: f"{option} is for ONNX files: OpenVINO IR takes images of one size, and gives logits alone"
        )
        find()


def make_and_prove_irs(task: ExportTask, model: bytes, staging: Staging) -> dict[str, IrVerdict]:
    """Make the IR of each precision from the proved `model.onnx`, judge it, and put it where it belongs.

    Raises:
        UnavailableError, GateError: OpenVINO cannot convert the file, or made something of it that it does not explain.
    """
    made = make_irs(task.request.irs, model, staging.work, required=True, say=task.say, warn=task.say)
    verdicts = prove_irs(made, task.context)
    for verdict in verdicts.values():
        task.say(f"{FOLDER}/{verdict.made.file}: {verdict.status}, {verdict.reason}")
        if verdict.status is Status.SHIPPED:
            verdict.made.write(staging.final / FOLDER)
        elif verdict.status is Status.REJECTED:
            set_ir_aside(verdict, staging.rejected)
    return verdicts
