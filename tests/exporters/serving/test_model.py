import asyncio
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.bundle.manifest import GOLDEN_OUTPUTS
from exporters.client import Student
from exporters.core.arrays import npz_bytes
from exporters.core.errors import GateError, UsageError
from exporters.core.files import sha256_bytes
from exporters.serving import model
from exporters.serving.batching import Batcher, Predict
from exporters.serving.model import LoadedBundle, ModelHolder, load_bundle
from tests.exporters.bundle.test_verify import resealed
from tests.exporters.conftest import Exported

from .conftest import exchange


def spoil_golden(bundle: Path, exported: Exported) -> None:
    """A whole and sealed bundle whose model does not give the golden outputs."""
    (bundle / GOLDEN_OUTPUTS).write_bytes(npz_bytes("logits", exported.logits[:8] * np.float32(1.01)))
    resealed(bundle)


def test_a_bundle_is_proved_and_named(packed: Path, cifar: Exported) -> None:
    bundle = load_bundle(packed, "fp32", "cpu")
    assert (bundle.name, bundle.precision) == ("finches", "fp32")
    assert bundle.version == sha256_bytes((packed / "manifest.json").read_bytes())[:12]
    expected = Student.load(packed, threads=1).logits(cifar.images)
    np.testing.assert_array_equal(bundle.student.logits(cifar.images), expected)


def test_damaged_bundles_and_missing_models_are_not_served(packed: Path, cifar: Exported, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load_bundle(tmp_path / "none", "fp32", "cpu")
    with pytest.raises(UsageError, match="no int8 model"):
        load_bundle(packed, "int8", "cpu")
    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    spoil_golden(bundle, cifar)
    with pytest.raises(GateError, match="golden"):
        load_bundle(bundle, "fp32", "cpu")
    (bundle / "labels.json").write_text("[]")
    with pytest.raises(GateError, match=r"labels\.json"):
        load_bundle(bundle, "fp32", "cpu")


def test_bundle_exchanged_while_loading_is_refused(
    packed: Path, later: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    verify = model.verify_bundle

    def exchanged(path: Path) -> Any:
        report = verify(path)
        exchange(bundle, later)
        return report

    monkeypatch.setattr(model, "verify_bundle", exchanged)
    with pytest.raises(GateError, match="exchanged while"):
        load_bundle(bundle, "fp32", "cpu")


def test_torch_and_onnx_are_not_imported(packed: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import exporters.serving.server; "
        "from exporters.serving.model import load_bundle; load_bundle(Path(sys.argv[1]), 'fp32', 'cpu'); "
        "assert not {'torch', 'onnx', 'pipeline'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(packed)], check=True)


def held(packed: Path, *loads: Any) -> tuple[list[Any], list[str]]:
    """What a holder tells of these bundles or errors, one reload each, and which version answers after each."""
    outcomes: list[Any] = []
    answering: list[str] = []
    student = Student.load(packed, threads=1)
    waiting = [LoadedBundle(student, *load) if isinstance(load, tuple) else load for load in loads]

    def load() -> LoadedBundle:
        value = waiting.pop(0)
        if isinstance(value, Exception):
            raise value
        return value

    async def main() -> None:
        def batcher(predict: Predict) -> Batcher:
            return Batcher(predict, pool, parallel=1, max_batch=4, max_delay=0, observe=lambda _n, _s: None)

        holder = ModelHolder(load, pool, batcher, outcomes.append)
        holder.put(LoadedBundle(student, "finches", "first", "fp32"))
        for _ in loads:
            before = holder.current
            try:
                await holder.reload()
            except Exception as error:
                outcomes.append(error)
                assert holder.current is before
            answering.append(holder.current.bundle.version)

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main())
    return outcomes, answering


def test_only_a_verified_bundle_replaces_the_served_one(packed: Path) -> None:
    outcomes, answering = held(
        packed,
        ("finches", "second", "fp32"),
        GateError("damaged"),
        ("gulls", "third", "fp32"),
        MemoryError(),
        ("finches", "fourth", "fp32"),
    )
    assert answering == ["second", "second", "second", "second", "fourth"]
    kinds = [
        what.version if isinstance(what, LoadedBundle) else what if what is None else type(what) for what in outcomes
    ]
    assert kinds == ["first", "second", None, GateError, None, GateError, None, MemoryError, "fourth"]
    assert json.dumps(str(outcomes[5])).count("gulls") == 1
