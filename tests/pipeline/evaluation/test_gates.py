from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.gates import (
    ABOVE_CHANCE,
    NO_GAIN,
    Gate,
    judge_calibration,
    judge_chance,
    judge_classes,
    judge_file,
    judge_gain,
    judge_student,
)
from pipeline.recipe.schema.validate import ValidateSettings

SHARES = st.floats(0, 1)


@settings(deadline=None, max_examples=100)
@given(SHARES, SHARES, SHARES, SHARES)
def test_each_gate_is_judged_by_its_own_bound(lowest: float, drop: float, student: float, teacher: float) -> None:
    gates = judge_student(ValidateSettings(min_top1=lowest, max_drop_from_teacher=drop), student, teacher)
    assert [gate.key for gate in gates] == ["validate.min_top1", "validate.max_drop_from_teacher"]
    assert gates[0] == Gate("validate.min_top1", lowest, student, student >= lowest)
    assert gates[1] == Gate("validate.max_drop_from_teacher", drop, teacher - student, teacher - student <= drop)
    assert gates[0].to_json() == {
        "key": "validate.min_top1", "bound": lowest, "measured": student, "passed": gates[0].passed
    }  # fmt: skip


def test_a_gate_that_is_not_set_or_has_no_teacher_is_not_judged() -> None:
    assert judge_student(ValidateSettings(), 0.0, 1.0) == []
    assert judge_student(ValidateSettings(max_drop_from_teacher=0.0), 0.5, None) == []
    assert [gate.key for gate in judge_student(ValidateSettings(min_top1=0.5), 0.5, 1.0)] == ["validate.min_top1"]


def test_equality_passes_and_a_better_student_always() -> None:
    assert all(gate.passed for gate in judge_student(ValidateSettings(min_top1=0.5), 0.5, None))
    assert judge_student(ValidateSettings(max_drop_from_teacher=0.0), 0.9, 0.8)[0].passed


def test_gates_are_described_in_words() -> None:
    failed, passed = judge_student(ValidateSettings(min_top1=0.5, max_drop_from_teacher=0.25), 0.25, 0.5)
    assert failed.describe() == "validate.min_top1 FAILED: 0.2500, needed at least 0.5"
    assert passed.describe() == "validate.max_drop_from_teacher passed: 0.2500, needed at most 0.25"


def test_without_a_bound_of_its_own_a_student_must_be_above_chance_level() -> None:
    lucky = {"top1_interval": [0.24, 0.4], "chance": 0.25}
    (failed,) = judge_chance(ValidateSettings(), lucky)
    assert failed == Gate(ABOVE_CHANCE, 0.25, 0.24, False)
    assert failed.describe() == (
        "above chance level FAILED: the 95 % interval begins at 0.2400, needed more than 0.25, the share of the"
        " commonest class"
    )
    (equal,) = judge_chance(ValidateSettings(), lucky | {"chance": 0.24})
    (passed,) = judge_chance(ValidateSettings(max_drop_from_teacher=0.1), lucky | {"chance": 0.2})
    assert not equal.passed and passed.passed
    assert passed.describe() == (
        "above chance level passed: the 95 % interval begins at 0.2400, needed more than 0.2, the share of the"
        " commonest class"
    )


def test_a_given_bound_stands_in_place_of_chance_level() -> None:
    for bound in (0.0, 0.5):
        assert judge_chance(ValidateSettings(min_top1=bound), {"top1_interval": [0.0, 0.1], "chance": 0.9}) == []


def test_a_student_as_accurate_as_plain_training_passes_and_a_worse_one_does_not() -> None:
    (equal,), (worse,) = judge_gain(0.0), judge_gain(-0.015)
    assert equal.passed and worse == Gate(NO_GAIN, 0.0, -0.015, False)
    assert worse.describe() == "distill.on_no_gain FAILED: -0.0150 against plain training, needed at least 0"
    assert judge_gain(None) == []


def test_worst_class_is_judged_and_named() -> None:
    recalls = {"ant": 0.9, "bee": 0.25, "cat": None}
    (failed,) = judge_classes(ValidateSettings(min_class_recall=0.5), recalls)
    assert failed == Gate("validate.min_class_recall", 0.5, 0.25, False, "bee")
    assert failed.describe() == "validate.min_class_recall FAILED: 0.2500 (bee), needed at least 0.5"
    assert failed.to_json()["of"] == "bee"
    (passed,) = judge_classes(ValidateSettings(min_class_recall=0.25), recalls)
    assert passed.passed
    assert judge_classes(ValidateSettings(), recalls) == []
    assert judge_classes(ValidateSettings(min_class_recall=0.5), {"cat": None}) == []


def test_calibration_error_is_judged_where_it_is_known() -> None:
    assert judge_calibration(ValidateSettings(max_ece=0.05), 0.05)[0].passed
    assert not judge_calibration(ValidateSettings(max_ece=0.05), 0.06)[0].passed
    assert judge_calibration(ValidateSettings(max_ece=0.05), None) == judge_calibration(ValidateSettings(), 0.9) == []


def test_file_is_judged_by_its_size_in_millions_of_bytes_and_its_latency() -> None:
    gates = judge_file(ValidateSettings(max_size_mb=4.0, max_latency_ms=2.5), 4_000_001, 2.5)
    assert [(gate.key, gate.measured, gate.passed) for gate in gates] == [
        ("validate.max_latency_ms", 2.5, True), ("validate.max_size_mb", 4.000001, False),
    ]  # fmt: skip
    assert judge_file(ValidateSettings(max_size_mb=4.0), 1, 1.0)[0].key == "validate.max_size_mb"
    assert judge_file(ValidateSettings(), 10**12, 1e9) == []
