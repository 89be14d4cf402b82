"""What is mutated, by which tests a mutant may be killed, and what is left alone."""

from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Part:
    """Source files whose mutants are counted together.

    Attributes:
        files: patterns of source files, relative to the repository.
        also: source file → test files beside its mirror that may kill its mutants.
        left_out: beginnings of the ids of tests that train or start a process, too slow to run for each mutant.
    """

    files: tuple[str, ...]
    also: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


PARTS = {
    "pipeline/tmkd": Part(
        files=("pipeline/tmkd/**/*.py",),
        left_out=(
            "tests/pipeline/tmkd/test_cache_columns.py::test_two_processes_fill_one_column_and_a_killed_one",
            "tests/pipeline/tmkd/test_cache_files.py::test_full_disk_while_writing_is_reported",
            "tests/pipeline/tmkd/test_prompts.py::test_reading_prompts_does_not_load_torch",
            "tests/pipeline/tmkd/views/test_settings.py::test_settings_do_not_load_torch",
        ),
    ),
    "losses": Part(
        files=("pipeline/distill/losses.py", "pipeline/distill/methods/*.py", "pipeline/distill/balance.py"),
        left_out=tuple(
            f"tests/pipeline/distill/methods/test_base.py::{name}"
            for name in (  # of every method, each of which has a mirror of its own
                "test_extreme_logits_and_features_give_finite_losses_and_gradients",
                "test_gradients_are_those_of_the_losses",
                "test_losses_are_finite_in_autocast_and_teach_the_student",
            )
        ),
    ),
    "exporters/parity": Part(
        files=("exporters/parity/*.py",),
        left_out=tuple(f"tests/exporters/parity/test_evidence.py::test_{name}" for name in ("exports_pass", "planted")),
    ),
    "exporters/audit": Part(
        files=("exporters/audit/*.py",),
        also={
            f"exporters/audit/{name}.py": (f"tests/exporters/audit/test_{name}_rules.py",)
            for name in ("int8", "student")
        },
        left_out=tuple(
            f"tests/exporters/audit/test_{name}"
            for name in (
                "budget.py::test_each_value",
                "fp16.py::test_every_tensor",
                "fp16.py::test_fp32_blocks",
                "fp16.py::test_flipped_bit",
                "fp16.py::test_foreign_tensors",
                "fp16.py::test_truncation",
                "fp16.py::test_a_dropped",
                "fp16.py::test_entries_of",
                "int8.py",
                "openvino.py::test_each_bit",
                "network.py::test_students_pass",
                "network.py::test_exceeded",
                "network.py::test_unused_chain",
                "recomputed.py::test_networks",
                "recomputed.py::test_a_planted",
                "recomputed.py::test_weights_of",
                "recomputed.py::test_computed_tensor",
                "recomputed.py::test_unsaved",
                "recomputed.py::test_scaled",
                "recomputed.py::test_a_module",
                "student.py",
            )
        ),
    ),
    "pipeline/runner/fingerprint.py": Part(files=("pipeline/runner/fingerprint.py",)),
}

NOT_MUTATED = (
    r"^\s*raise\b",  # the condition above it is mutated; what the error says is for its own test
    r"\.error\(",  # a place of a file that names itself in an error
    r"^\s*(log|logger|console|warnings)\.\w+\(",
    r"^\s*f?\"[^\"]*\",?\)?$",  # a line that is nothing but text, as messages have
)
"""Lines of which no expression is mutated: texts for people. Docstrings are none for mutmut either."""

LEAST_SCORE = 85
"""Percent of the mutants that are not equivalent."""

TIMEOUT = {"timeout_multiplier": 6.0, "timeout_constant": 3.0}
"""A mutant may take `multiplier × (constant + seconds of its tests)`, and twice as much CPU time.

Seconds are those of a clock: a machine that is busier than when the tests were measured must not kill a mutant.
"""

PYTEST = ("-pno:cacheprovider", "-pno:cov", "-pno:xdist", "-pno:schemathesis")
"""Plugins that would only cost time."""
