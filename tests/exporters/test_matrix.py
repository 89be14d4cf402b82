"""Networks of all families, and third party's weights, in every precision: made, proved, loaded elsewhere."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.matrix.networks import MATRIX, SMALL, Network
from benchmarks.matrix.plain import PREAMBLE, PlainError, run_plain
from benchmarks.matrix.subjects import PUBLISHED, Subject, published, trained_like
from benchmarks.matrix.table import to_markdown
from benchmarks.matrix.trial import FOR_TENSORRT, PRECISIONS, try_subject
from exporters.benchmark import measure
from exporters.quantize.calibration import Method
from tests.exporters.conftest import Exported


def check(row: dict[str, Any], misses: frozenset[str] = frozenset(), norms: int = 0) -> None:
    for precision in PRECISIONS:
        assert row[precision]["status"] == ("rejected" if precision in misses else "passed"), row[precision]["reason"]
    assert row["fp32"]["max_scaled_error"] < 1e-5
    assert row["batch_norms"] == norms
    assert row["accuracy"] > 0.25  # weights that know something; by chance it is 0.1
    assert row["plain"]["status"] == "loaded", row["plain"]["reason"]
    assert set(row["plain"]["errors"]) == set(PRECISIONS)
    assert max(row["plain"]["errors"].values()) < 1e-6


@pytest.fixture
def briefly_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.artifacts.prove.measure", functools.partial(measure, seconds=0.0))


def label_of(network: Network) -> str:
    return network.label


@pytest.mark.usefixtures("briefly_timed")
@pytest.mark.parametrize("network", SMALL, ids=label_of)
def test_small_networks_give_expected_results(network: Network, tmp_path: Path) -> None:
    subject = trained_like(network, tmp_path, images={"train": 192, "validation": 96}, steps=30)
    row = try_subject(subject, tmp_path)
    check(row, network.misses, network.norms)
    assert f"| {network.label} | 32 |" in to_markdown([row])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("briefly_timed")
@pytest.mark.parametrize("network", MATRIX, ids=label_of)
def test_all_networks_give_expected_results(network: Network, tmp_path: Path) -> None:
    check(try_subject(trained_like(network, tmp_path), tmp_path), network.misses, network.norms)


def third_party(name: str) -> Subject:
    subject = published(name)
    if subject is None:
        pytest.skip("TMKD_DATA does not hold the weights and images")
    return subject


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("briefly_timed")
@pytest.mark.parametrize("name", list(PUBLISHED))
@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_third_party_weights_keep_their_accuracy(name: str, method: Method, tmp_path: Path) -> None:
    row = try_subject(third_party(name), tmp_path, method=method)
    check(row)
    found = row["test"]
    assert found["fp32"]["images"] == 3000
    assert found["fp32"]["differing"] == 0
    assert found["fp16"]["accuracy_drop"] <= 0.005
    for precision in ("int8", FOR_TENSORRT):
        assert found[precision]["accuracy_drop"] <= 0.01


def test_plain_environment_has_only_onnxruntime(cifar: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    (logits,) = run_plain({"model": cifar.data}, cifar.images).values()
    np.testing.assert_allclose(logits, cifar.logits, atol=1e-4)
    with pytest.raises(PlainError, match="No module named 'onnx'"):
        monkeypatch.setattr("benchmarks.matrix.plain.PREAMBLE", f"{PREAMBLE}\nimport onnx\n")
        run_plain({"model": cifar.data}, cifar.images)


def test_a_file_that_needs_another_package_is_refused(cifar: Exported) -> None:
    model = onnx.load_from_string(cifar.data)
    model.opset_import.append(onnx.helper.make_opsetid("of.another.package", 1))
    model.graph.node[-1].domain = "of.another.package"
    with pytest.raises(PlainError, match=r"of\.another\.package"):
        run_plain({"model": model.SerializeToString()}, cifar.images)


def test_the_table_says_what_failed() -> None:
    passed = {"status": "passed", "reason": "", "bytes": 2_500_000, "max_scaled_error": 2e-4, "agreement": 0.99}
    variant = {**passed, "kept_float": ["a", "b"], "times_as_fast": [1.5, 1.4, 1.6]}
    failed = {"status": "rejected", "reason": "top-1 agreement 0.5", "kept_float": []}
    row = {"name": "net", "size": 64, "weights": "drawn", "accuracy": 0.875, "fp32": passed, "fp16": variant}
    row |= {"int8": failed, FOR_TENSORRT: variant, "plain": {"status": "refused", "reason": "no operator"}}
    row["calibration"] = {"method": "minmax"}
    table = to_markdown([row]).splitlines()
    cells = ["net", "64", "drawn", "87.5", "2.50 MB, 2e-04", "2.50 MB, 2e-04, 2 float, 1.50× (1.40 to 1.60)"]
    assert table[2] == f"| {' | '.join([*cells, '**rejected**', '99.0 %, 2 float'])} |"
    assert table[4:] == [
        "- net, int8, rejected: top-1 agreement 0.5",
        "- net does not load in plain ONNX Runtime: no operator",
    ]
