"""What ships, once files and engines are judged."""

from exporters.artifacts.decide import (
    EngineVerdict,
    VariantVerdict,
    after_source,
    decide,
    settle,
    shipped,
    unmet_engines,
    unmet_variants,
)
from exporters.artifacts.engines import MadeEngine
from exporters.artifacts.status import Status
from exporters.core.errors import GateError, UnavailableError


def test_a_file_and_its_engine_ship_together_or_stay_together() -> None:
    engine = MadeEngine("int8")
    proved, unproved = (
        EngineVerdict(engine, Status.SHIPPED, "proved"),
        EngineVerdict(engine, Status.UNPROVED, "no GPU"),
    )
    waiting, slow, rejected = (
        VariantVerdict(status, "a reason") for status in (Status.NOT_SHIPPED, Status.NOT_USEFUL, Status.REJECTED)
    )
    assert settle(waiting, proved).status == settle(slow, proved).status == "shipped"
    assert "model.int8.trt.plan ships with it" in settle(slow, proved).reason
    assert settle(waiting, unproved).status == "not shipped" and "not proved" in settle(waiting, unproved).reason
    assert settle(slow, unproved) == slow and settle(slow, None) == slow and settle(rejected, proved) == rejected
    with_source = after_source(engine, rejected)
    assert with_source is not None and with_source.status == "rejected"
    assert after_source(engine, slow) is None and after_source(engine, None) is None
    ends = unmet_engines([proved, unproved, with_source])
    assert isinstance(ends, GateError)  # what failed comes before what is missing
    assert isinstance(unmet_engines([proved, unproved]), UnavailableError) and unmet_engines([proved]) is None
    decided = decide({"int8.trt": waiting, "fp16": slow}, {"int8": proved})
    assert {name: verdict.status for name, verdict in decided.items()} == {"int8.trt": "shipped", "fp16": "not useful"}
    assert shipped(decided) == ["int8.trt"]


def test_required_variants_that_failed_are_named_with_the_reason() -> None:
    reports = {
        "fp32": {"passed": True},
        "fp16": VariantVerdict(Status.NOT_USEFUL, "not faster").to_json(),
        "int8": VariantVerdict(Status.NOT_MADE, "no images").to_json(),
    }
    assert unmet_variants(["fp32", "fp16"], reports) == ""
    assert unmet_variants(["fp16", "int8"], reports) == "model.int8.onnx must pass and did not: no images"
    assert reports["int8"] == {"passed": False, "failures": ["no images"], "status": "not made", "reason": "no images"}
