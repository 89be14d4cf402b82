"""Which variants are kept, and which gate each must pass."""

import pytest

from exporters.artifacts.context import ArtifactContext
from exporters.parity import DEFAULT_GATES, Evidence
from tests.exporters.conftest import Exported


@pytest.mark.parametrize(
    ("requested", "required", "keep_all", "kept"),
    [
        (["fp16", "int8"], [], False, set()),
        (["fp16", "int8"], ["int8"], False, {"int8"}),
        (["fp16"], [], True, {"fp16", "int8.trt"}),  # an int8 file that nobody asked for is not kept
    ],
)
def test_required_variants_are_kept_and_with_keep_all_the_requested_ones(
    cifar: Exported, evidence: Evidence, requested: list[str], required: list[str], keep_all: bool, kept: set[str]
) -> None:
    context = ArtifactContext(
        evidence, cifar.images, DEFAULT_GATES, requested=requested, required=required, keep_all=keep_all
    )
    assert {name for name in ("fp16", "int8", "int8.trt") if context.keeps(name)} == kept
    assert context.gate("int8.trt") is DEFAULT_GATES["int8"]
