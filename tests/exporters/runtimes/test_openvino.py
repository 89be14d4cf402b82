"""OpenVINO answers as the student does, in fp32."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")

from exporters.artifacts.openvino import MadeIr, make_ir
from exporters.bundle.contents import BundleContents
from exporters.core.errors import GateError, UsageError
from exporters.runtimes import OnnxRuntime
from exporters.runtimes.openvino import OpenVinoRuntime
from tests.exporters.conftest import Exported
from tests.exporters.openvino.small import files


@pytest.fixture(scope="module")
def made(cifar: Exported) -> MadeIr:
    return make_ir("fp32", cifar.data)


def test_logits_are_the_students_at_every_batch_size(made: MadeIr, cifar: Exported) -> None:
    runtime = OpenVinoRuntime(made.xml, made.weights, threads=1)
    scale = np.abs(cifar.logits).max()
    for batch in (1, 7, 20):
        found = runtime.predict(cifar.images[:batch])
        # bf16, which OpenVINO would choose by itself on some processors, is off by some 5e-3.
        np.testing.assert_allclose(found, cifar.logits[:batch], atol=2e-6 * scale)
        assert found.dtype == np.float32 and found.shape == (batch, 7)


def test_answers_stay_when_the_next_ones_come(made: MadeIr, cifar: Exported) -> None:
    runtime = OpenVinoRuntime(made.xml, made.weights)
    first = runtime.predict(cifar.images[:4])
    kept = first.copy()
    runtime.predict(cifar.images[4:8])
    np.testing.assert_array_equal(first, kept)


def test_maps_are_those_of_the_onnx_file(contents_with_cam: BundleContents) -> None:
    model = contents_with_cam.models[0].data
    made = make_ir("fp32", model)
    runtime, images = OpenVinoRuntime(made.xml, made.weights), contents_with_cam.golden_images
    assert runtime.map_size == (8, 8)
    expected = OnnxRuntime(model).explain(images)
    for found, wanted in zip(runtime.explain(images), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_maps_that_are_not_there_and_other_images_are_refused(made: MadeIr, cifar: Exported) -> None:
    runtime = OpenVinoRuntime(made.xml, made.weights)
    assert runtime.map_size is None
    with pytest.raises(UsageError, match="no class activation maps"):
        runtime.explain(cifar.images)
    with pytest.raises(UsageError, match="need uint8 images"):
        runtime.predict(cifar.images[:, :16])


def test_what_cannot_be_loaded_is_refused(made: MadeIr) -> None:
    with pytest.raises(GateError, match="cannot be loaded by OpenVINO"):
        OpenVinoRuntime(b"<net/>", made.weights)
    with pytest.raises(GateError, match="cannot be loaded by OpenVINO"):
        OpenVinoRuntime(made.xml, made.weights[:100])


def test_a_network_of_other_outputs_is_refused() -> None:
    xml, weights = files()
    with pytest.raises(GateError, match="does not take `image`"):
        OpenVinoRuntime(xml.replace(b'"logits"', b'"other"'), weights)


INTERRUPTED = """
import signal, sys
from pathlib import Path
from exporters.openvino.library import find
from exporters.runtimes.openvino import OpenVinoRuntime

folder = Path(sys.argv[1])
xml, weights = ((folder / name).read_bytes() for name in ("model.xml", "model.bin"))
first = OpenVinoRuntime(xml, weights)
second = OpenVinoRuntime(xml, weights)
del first
del second
find()
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_interrupt_after_openvino_was_used_is_no_crash(made: MadeIr, tmp_path: Path) -> None:
    """Its CPU plugin changes the stack of signal handlers: freed in the wrong order, Ctrl-C would be a SIGSEGV."""
    (tmp_path / "model.xml").write_bytes(made.xml)
    (tmp_path / "model.bin").write_bytes(made.weights)
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (found.returncode, found.stdout) == (0, "interrupted\n"), found.stderr
