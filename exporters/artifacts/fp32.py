"""Making the fp32 file: the student converted, with every number of it traced back to the student's own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.artifacts import lines
from exporters.artifacts.context import Say, silent
from exporters.bundle.manifest import MODEL
from exporters.core.errors import GateError, UsageError
from exporters.core.files import write_bytes
from exporters.core.progress import working
from exporters.onnx.reader import read_onnx

if TYPE_CHECKING:
    from exporters.onnx.cam import CamSource
    from exporters.student.student import TrainedStudent


@dataclass(frozen=True)
class Fp32:
    """The fp32 file.

    Args:
        shipped, entries: the file, and what `audit_export` found in it.
        core, core_entries: the same without its resizing, for uint8 `[batch, S, S, 3]`; where it does not resize, the
            file itself.
        opset, operators: of `shipped`.
        cam: where the file has what class activation maps are made of; None where it gives none.
        plain, plain_entries: `core` without the maps, from which variants are made; None where it is `core`.
    """

    shipped: bytes
    entries: list[dict[str, Any]]
    core: bytes
    core_entries: list[dict[str, Any]]
    opset: int
    operators: dict[str, int]
    cam: "CamSource | None" = None
    plain: bytes | None = None
    plain_entries: list[dict[str, Any]] | None = None

    @property
    def base(self) -> tuple[bytes, list[dict[str, Any]]]:
        """What variants are made from, and its entries: the logits of prepared pixels alone."""
        if self.plain is None or self.plain_entries is None:
            return self.core, self.core_entries
        return self.plain, self.plain_entries


def make_fp32(
    student: "TrainedStudent",
    folder: Path,
    opset: int,
    *,
    name: str | None = None,
    licence: str | None = None,
    probabilities: bool = False,
    temperature: float = 1.0,
    any_size: bool = False,
    cam: bool = False,
    say: Say = silent,
) -> Fp32:
    """Write `folder/model.onnx`, and trace every tensor of it back to the student's own parameters.

    Args:
        opset, name, licence, probabilities, temperature, any_size: as `exporters.onnx.export.export_onnx` takes them.
        cam: a further output `cam` float32 `[batch, h, w]`, the class activation map of the most likely class.

    Raises:
        GateError: a tensor that the student does not explain, or metadata that are not the student's.
        UsageError, UnavailableError: as `export_onnx`; with `cam`, a student without class activation maps.
    """
    from exporters.audit import audit_export
    from exporters.onnx.export import export_onnx
    from exporters.onnx.resizing import without_resize

    if cam:
        check_has_cam(student)
    with working(f"{MODEL}: being converted"):
        exported = export_onnx(
            student,
            folder / MODEL,
            opset,
            name=name,
            licence=licence,
            probabilities=probabilities,
            temperature=temperature,
            any_size=any_size,
        )
    content = exported.path.read_bytes()
    plain = without_resize(content, student.preprocessing) if any_size else content
    source = None
    if cam:
        from exporters.onnx.cam import find_cam_source, with_cam

        source = find_cam_source(plain)
        content = with_cam(content, source).data
        write_bytes(exported.path, content)
    with working(f"{MODEL}: every number is looked up in the student"):
        entries = audit_export(content, student)
    check_metadata(MODEL, content, student)
    say(f"{MODEL}: {len(content) / 1e6:.2f} MB, opset {opset}, IR {exported.ir_version}; {lines.traced(len(entries))}")
    operators = exported.operators if source is None else dict(read_onnx(content).operators)
    core, core_entries = content, entries
    if any_size:
        core = without_resize(content, student.preprocessing)
        core_entries = audit_export(core, student)
    if source is None:
        return Fp32(content, entries, core, core_entries, exported.opset, operators)
    plain_entries = audit_export(plain, student)
    return Fp32(content, entries, core, core_entries, exported.opset, operators, source, plain, plain_entries)


def check_has_cam(student: "TrainedStudent") -> None:
    """Refuse, by UsageError, a student without class activation maps."""
    from exporters.student.cam import find_cam_layers

    try:
        find_cam_layers(student.module, student.preprocessing.size)
    except UsageError as error:
        raise UsageError(
            error.message.replace("the network", student.architecture.name, 1), remedy=error.remedy
        ) from error


def check_metadata(name: str, data: bytes, student: "TrainedStudent") -> None:
    """Refuse a file whose metadata hold other labels or another preprocessing than the student's.

    Raises:
        GateError: they differ.
    """
    metadata = read_onnx(data).metadata
    for key, expected in (("labels", student.labels), ("preprocessing", student.preprocessing.to_json())):
        if json.loads(metadata.get(key, "null")) != expected:
            raise GateError(f"{name}: its metadata do not hold the student's {key}", remedy="Export it again.")
