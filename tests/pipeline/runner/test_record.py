"""A stage's record is read only where every part of it is what it says."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from pipeline.runner.record import StageRecord, parsed_record

RECORD = StageRecord("data", "done", "f", {"code": "c"}, {"data/a": "1"}, 1.5, {"images": 3})
WHOLE = asdict(RECORD)


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, status="failed", message="no", gate=True)])
def test_record_is_read_back_from_json(record: StageRecord) -> None:
    assert parsed_record("data", json.loads(json.dumps(asdict(record)))) == record


@pytest.mark.parametrize(
    "values",
    [
        *([], 3, None, {"stage": "data"}, {"stage": "data", "colour": "red"}),
        *(WHOLE | {name: None} for name in WHOLE),
        WHOLE | {"stage": "teacher"},
        WHOLE | {"status": "finished"},
        WHOLE | {"status": "failed"},
        WHOLE | {"inputs": {"code": 3}},
        WHOLE | {"outputs": ["data/a"]},
        WHOLE | {"outputs": {"data/a": None}},
        WHOLE | {"seconds": "long"},
        WHOLE | {"gate": 1},
    ],
)
def test_other_forms_are_refused(values: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        parsed_record("data", values)
