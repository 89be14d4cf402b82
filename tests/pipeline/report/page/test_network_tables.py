import numpy as np
import pytest

pytest.importorskip("sklearn")

from pipeline.explain.cost import Cost, Costs
from pipeline.explain.evidence import Answers, Evidence
from pipeline.report.page.network_tables import network_tables

TEACHER = Cost("teacher", "PyTorch", 1000, 4_000_000, 30e6, 6.0, 9.0)
STUDENT = Cost("student", "PyTorch", 100, 400_000, 3e6, 2.0, 3.0)
EXPORTED = Cost("student", "ONNX Runtime", 100, 500_000, 3e6, 0.5, 0.6)
LABELS = np.repeat([0, 1, 2], 6)


def evidence(corrupted: dict[str, dict[str, dict[str, float]]]) -> Evidence:
    features = np.random.default_rng(0).normal(size=(18, 4)).astype(np.float32) + 2 * np.eye(4)[LABELS]
    networks = {"student": Answers("student", features[:, :3], features, None)}
    pictures = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    return Evidence(np.arange(18), LABELS, (0, 2), np.array([0]), pictures, networks, None, corrupted, 18)


def test_student_is_held_against_the_teacher_in_the_same_runtime() -> None:
    table = dict(network_tables(None, Costs([TEACHER, STUDENT, EXPORTED], 2, "cpu")))["costs"]
    assert table.rows[2] == ["student", "ONNX Runtime", "100", "0.50", "3.00", "0.500", "0.600"]
    assert table.rows[-1] == ["teacher / student", "PyTorch", *["10.0 ×"] * 3, "3.0 ×", "3.0 ×"]


def test_network_that_was_not_timed_has_no_time() -> None:
    large = Cost("teacher", "PyTorch", 1000, 4_000_000, 1e12, None, None)
    rows = dict(network_tables(None, Costs([large, STUDENT], 2, "cpu")))["costs"].rows
    assert rows[0][-2:] == ["", ""] and rows[-1][-2:] == ["", ""]


def test_student_without_teacher_is_compared_with_nothing() -> None:
    assert len(dict(network_tables(None, Costs([STUDENT], 2, "cpu")))["costs"].rows) == 1


def test_accuracy_on_corrupted_images_is_the_mean_over_kinds() -> None:
    student = {"clean": {"0": 0.9}, "blur": {"1": 0.8, "3": 0.5}, "noise": {"1": 0.6, "3": 0.1}}
    table = dict(network_tables(evidence({"student": student}), None))["corruptions"]
    assert table.columns == ["", "clean", "severity 1", "severity 3", "mean of the corrupted"]
    assert table.rows == [["student", "90.0", "70.0", "30.0", "50.0"]]


def test_separation_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import silhouette_score

    given = evidence({})
    table = dict(network_tables(given, None))["separation"]
    own = np.isin(LABELS, [0, 2])
    expected = silhouette_score(given.networks["student"].features[own], LABELS[own], metric="cosine")
    assert table.rows[0][:2] == ["student", f"{expected:.3f}"]


def test_nothing_is_said_of_networks_that_were_not_asked() -> None:
    assert list(network_tables(None, None)) == []
