"""OpenVINO IR of a student: made from the proved fp32 file, then judged as the ONNX file of its precision is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from exporters.artifacts import lines
from exporters.artifacts.context import ArtifactContext, Say, silent
from exporters.artifacts.status import Status
from exporters.audit.openvino import audit_openvino, names_of
from exporters.bundle.golden import beyond_bundle, cam_beyond_bundle
from exporters.bundle.openvino import FOLDER, weights_of, xml_name
from exporters.core.errors import GateError, TmkdError, UnavailableError
from exporters.core.files import write_bytes, write_json
from exporters.core.interrupts import interrupts_kept
from exporters.core.progress import working
from exporters.onnx.reader import read_onnx
from exporters.openvino.convert import Precision, convert
from exporters.openvino.library import find
from exporters.parity import ParityReport
from exporters.runtimes import Explained
from exporters.runtimes.openvino import OpenVinoRuntime


@dataclass(frozen=True)
class MadeIr:
    """What came of making the two files of one precision.

    Args:
        precision: `fp32` or `fp16`.
        xml, weights: the files; empty where they were not made.
        version: of the OpenVINO that made them.
        not_made: why not; empty where they were made.
    """

    precision: str
    xml: bytes = b""
    weights: bytes = b""
    version: str = ""
    not_made: str = ""

    @property
    def file(self) -> str:
        """Name of the network; that of the weights follows from it."""
        return xml_name(self.precision)

    def to_json(self) -> dict[str, Any]:
        """All but the files themselves."""
        return {"file": self.file, **({"not_made": self.not_made} if self.not_made else {"version": self.version})}

    @classmethod
    def from_json(cls, precision: str, entry: Mapping[str, Any], folder: Path) -> Self:
        """The inverse of `to_json`, with the files from the folder's subfolder `openvino`."""
        if "not_made" in entry:
            return cls(precision, not_made=entry["not_made"])
        xml = folder / FOLDER / entry["file"]
        return cls(precision, xml.read_bytes(), xml.with_suffix(".bin").read_bytes(), entry["version"])

    def write(self, folder: Path) -> None:
        """Write both files into a folder."""
        write_bytes(folder / self.file, self.xml)
        write_bytes(folder / weights_of(self.file), self.weights)


@dataclass(frozen=True)
class IrVerdict:
    """Whether the files of one precision ship, and why.

    Args:
        made: as they were made.
        status: what becomes of them.
        reason: one sentence.
        report: the whole set, and a part of it at small batches; None where they did not run.
    """

    made: MadeIr
    status: Status
    reason: str
    report: ParityReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for `parity.json`."""
        told = {"passed": False, "failures": [self.reason]} if self.report is None else self.report.to_json()
        return {**told, "file": self.made.file, "status": self.status, "reason": self.reason}


def make_irs(
    precisions: Iterable[str],
    model: bytes,
    folder: Path,
    *,
    required: bool = False,
    say: Say = silent,
    warn: Say = silent,
) -> dict[str, MadeIr]:
    """Write `model.xml`, `model.fp16.xml` and their weights into the folder's subfolder `openvino`; nothing is run.

    Args:
        precisions: of `exporters.openvino.convert.PRECISIONS`.
        model: the proved fp32 file.
        folder: made where it is missing.
        required: raise instead of reporting why a file is not made.
        say, warn: given one line for what was made, and for what was not.

    Raises:
        TmkdError: with `required`, the first reason why a file cannot be made.
    """
    made = {}
    for precision in precisions:
        try:
            made[precision] = make_ir(precision, model)  # type: ignore[arg-type]
        except TmkdError as error:
            if required:
                raise
            warn(f"{FOLDER}/{xml_name(precision)} is not made: {error.message}")
            made[precision] = MadeIr(precision, not_made=error.message)
            continue
        made[precision].write(folder / FOLDER)
        say(_summary(made[precision]))
    return made


def make_ir(precision: Precision, model: bytes) -> MadeIr:
    """Convert the proved fp32 file, and look up every constant of the result in it.

    Raises:
        UnavailableError: OpenVINO is missing, or cannot convert the file.
        GateError: something in the result that the file does not explain.
    """
    library, base = find(), read_onnx(model)
    with working(f"{xml_name(precision)}: converted by {library.title}"):
        xml, weights = convert(model, precision, *names_of(base))
        audit_openvino(xml, weights, base, xml_name(precision), precision)
    return MadeIr(precision, xml, weights, library.version)


def _summary(made: MadeIr) -> str:
    size = (len(made.xml) + len(made.weights)) / 1e6
    return (
        f"{FOLDER}/{made.file}: {size:.2f} MB from model.onnx by OpenVINO {made.version};"
        " each of its constants was found there"
    )


@interrupts_kept()
def prove_ir(made: MadeIr, context: ArtifactContext) -> IrVerdict:
    """Run both files on the CPU on all images, and judge them as the ONNX file of their precision is judged."""
    if made.not_made:
        return IrVerdict(made, Status.NOT_MADE, made.not_made)
    try:
        runtime = OpenVinoRuntime(made.xml, made.weights)
    except UnavailableError as error:
        return IrVerdict(made, Status.UNPROVED, error.message)
    except GateError as error:
        return IrVerdict(made, Status.REJECTED, error.message)
    report = context.evidence.report(runtime, context.gates[made.precision])
    context.say(lines.compared(f"{FOLDER}/{made.file}", report.whole, context.images_name))
    if not report.passed:
        return IrVerdict(made, Status.REJECTED, "; ".join(report.failures), report)
    beyond = _beyond_bundle(made.precision, runtime, report, context)
    if beyond is not None:
        return IrVerdict(made, Status.REJECTED, beyond, report)
    return IrVerdict(made, Status.SHIPPED, f"proved by OpenVINO {runtime.version} on the CPU, in fp32", report)


def _beyond_bundle(
    precision: str, runtime: OpenVinoRuntime, report: ParityReport, context: ArtifactContext
) -> str | None:
    told, images, evidence = report.to_json(), context.images, context.evidence
    logits = evidence.reference_logits(images)
    beyond = beyond_bundle(precision, told, runtime.predict, images, logits)
    if beyond is not None or not evidence.has_maps:
        return beyond
    return cam_beyond_bundle(
        precision, told, runtime.explain, images, Explained(logits, evidence.reference_maps(images))
    )


def prove_irs(made: Mapping[str, MadeIr], context: ArtifactContext) -> dict[str, IrVerdict]:
    """Judge the files of each precision."""
    return {precision: prove_ir(each, context) for precision, each in made.items()}


def set_ir_aside(verdict: IrVerdict, folder: Path) -> None:
    """Write rejected files and `<xml>.json`, their entry of `parity.json`, into a folder."""
    verdict.made.write(folder)
    write_json(folder / f"{verdict.made.file}.json", verdict.to_json())


def unmet_irs(verdicts: Iterable[IrVerdict]) -> GateError | UnavailableError | None:
    """The error that ends an export which requires all of these files; None where all ship."""
    for verdict in verdicts:
        if verdict.status is not Status.SHIPPED:
            kind = GateError if verdict.status is Status.REJECTED else UnavailableError
            return kind(
                f"{FOLDER}/{verdict.made.file} must ship and is {verdict.status}: {verdict.reason}",
                remedy="With `export.openvino.when: available` the rest ships.",
            )
    return None
