"""The command `schema`."""

import json

from tests.pipeline.conftest import assert_one_clear_error, run_command


def test_schema_of_recipes_has_every_section() -> None:
    schema = json.loads(run_command("schema").out)
    assert {"data", "teacher", "student", "distill", "train", "validate"} <= set(schema["properties"])


def test_schema_of_a_part() -> None:
    part = json.loads(run_command("schema", "train").out)
    mapping, preset = part["anyOf"]
    assert mapping == {"$ref": "#/$defs/TrainSettings"} and "finetune" in preset["enum"]
    assert {"epochs", "batch_size", "lr", "schedule"} <= set(part["$defs"]["TrainSettings"]["properties"])
    assert set(part["$defs"]) == {"CheckpointSettings", "ScheduleSettings", "TrainSettings"}
    assert part["title"].endswith(": train")
    part = json.loads(run_command("schema", "facts.licences", "--of", "manifest").out)
    assert part["type"] == "object"
    assert run_command("schema", "manifest").out == run_command("schema", "--of", "manifest").out
    outcome = run_command("schema", "trian")
    assert_one_clear_error(outcome, 2)
    assert "trian: no such key; did you mean train?" in outcome.err
