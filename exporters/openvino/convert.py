"""From an ONNX file to OpenVINO IR, by OpenVINO itself."""

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Literal, get_args

from exporters.core.errors import UnavailableError
from exporters.core.interrupts import interrupts_kept
from exporters.openvino.document import read_document, write_document
from exporters.openvino.library import find, reason_of
from exporters.openvino.network import read_network, tidied

Precision = Literal["fp32", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""fp32, and weights rounded to fp16; int8 is an ONNX file's."""


def convert(model: bytes, precision: Precision, names: Collection[str], ends: Collection[str]) -> tuple[bytes, bytes]:
    """The XML and the weights of an ONNX file, in the form that `read_network` takes.

    The same file and version of OpenVINO give the same bytes: names that OpenVINO counts over a process, its version
    and the file's metadata are not written.

    Args:
        model: an ONNX file.
        precision: of the weights; with fp16, OpenVINO rounds them to nearest and keeps in fp32 what fp16 cannot hold.
        names: of the nodes and values of the ONNX file.
        ends: names of its inputs and outputs.

    Raises:
        UnavailableError: no OpenVINO, or one that cannot read this file.
        GateError: a network with a layer that `read_network` does not know.
    """
    library = find()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        try:
            with interrupts_kept():
                read = library.core.read_model(model)
                library.module.save_model(read, str(path), compress_to_fp16=precision == "fp16")
        except RuntimeError as error:
            raise UnavailableError(f"{library.title} cannot convert this model: {reason_of(error)}") from error
        xml, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    written = write_document(tidied(read_document(xml), names, ends))
    read_network(written, weights)
    return written, weights
