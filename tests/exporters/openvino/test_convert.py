"""OpenVINO's files follow from the ONNX file alone."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openvino")

from exporters.audit.openvino import names_of
from exporters.core.errors import UnavailableError
from exporters.onnx.reader import read_onnx
from exporters.openvino import convert as module
from exporters.openvino.convert import convert
from exporters.openvino.network import read_network
from tests.exporters.conftest import Exported

_AGAIN = """
import hashlib, sys
from exporters.audit.openvino import names_of
from exporters.onnx.reader import read_onnx
from exporters.openvino.convert import convert
data = open(sys.argv[1], "rb").read()
convert(data, "fp32", *names_of(read_onnx(data)))
print(hashlib.sha256(b"".join(convert(data, "fp16", *names_of(read_onnx(data))))).hexdigest())
"""


def test_the_same_model_gives_the_same_bytes_in_every_process(cifar: Exported, tmp_path: Path) -> None:
    xml, weights = convert(cifar.data, "fp16", *names_of(read_onnx(cifar.data)))
    path = tmp_path / "model.onnx"
    path.write_bytes(cifar.data)
    again = subprocess.run(
        [sys.executable, "-c", _AGAIN, str(path)],
        env=os.environ | {"PYTHONHASHSEED": "7", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.strip() == hashlib.sha256(xml + weights).hexdigest()


def test_no_version_date_or_folder_is_written(cifar: Exported) -> None:
    xml, _ = convert(cifar.data, "fp32", *names_of(read_onnx(cifar.data)))
    for private in (b"releases", b"OpenVINO", b"/tmp", b"rt_info", b"finches"):
        assert private not in xml


def test_fp16_takes_half_the_bytes_and_keeps_inputs_and_outputs(cifar: Exported) -> None:
    names = names_of(read_onnx(cifar.data))
    (xml, weights), (xml16, weights16) = (convert(cifar.data, precision, *names) for precision in module.PRECISIONS)
    assert len(weights16) < 0.51 * len(weights)
    networks = [read_network(*files) for files in ((xml, weights), (xml16, weights16))]
    assert networks[0].inputs == networks[1].inputs == {"image": ("U8", (-1, 32, 32, 3))}
    assert networks[0].outputs == networks[1].outputs == {"logits": ("FP32", (-1, 7))}


def test_nothing_is_reported_to_a_server(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino
    import openvino_telemetry

    def sent(*_: Any, **__: Any) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr(openvino_telemetry.Telemetry, "__init__", sent)
    monkeypatch.setattr(openvino, "convert_model", sent)
    convert(cifar.data, "fp32", *names_of(read_onnx(cifar.data)))


def test_a_file_that_openvino_cannot_read_is_refused() -> None:
    with pytest.raises(UnavailableError, match=r"OpenVINO .* cannot convert this model"):
        convert(b"no model", "fp32", set(), set())
