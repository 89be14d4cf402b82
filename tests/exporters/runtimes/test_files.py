"""Which runtime a model's files are for."""

import sys

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from exporters.runtimes import OnnxRuntime
from exporters.runtimes.files import import_libraries, load
from tests.exporters.conftest import Exported


def test_one_file_is_onnx(cifar: Exported) -> None:
    import_libraries((cifar.data,))
    runtime = load((cifar.data,))
    assert isinstance(runtime, OnnxRuntime)
    np.testing.assert_allclose(runtime.predict(cifar.images), cifar.logits, atol=1e-4)


def test_two_files_are_openvinos(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    from exporters.artifacts.openvino import make_ir

    made = make_ir("fp32", cifar.data)
    import_libraries((made.xml, made.weights))
    np.testing.assert_allclose(load((made.xml, made.weights)).predict(cifar.images), cifar.logits, atol=1e-4)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnavailableError, match="OpenVINO is not installed"):
        import_libraries((made.xml, made.weights))
