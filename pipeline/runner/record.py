"""The record of a stage: `stages/<stage>.json` as a value, and its check when it is read."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Status = Literal["running", "done", "failed", "skipped"]


@dataclass(frozen=True)
class StageRecord:
    """What `stages/<stage>.json` says of a stage.

    Attributes:
        stage: its name.
        status: running (or killed while running), done, failed, or skipped because the recipe does not need it.
        fingerprint: digest of everything that the result depends on.
        inputs: the parts of the fingerprint by name, so that a change can be named.
        outputs: path below the run directory → sha256.
        seconds: wall time of all its attempts, of one that goes on those of the attempts before.
        summary: figures for people.
        message: why it failed or was skipped.
        gate: whether it failed at a gate, and so will again from the same inputs.
    """

    stage: str
    status: Status
    fingerprint: str
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    gate: bool = False


def parsed_record(stage: str, values: Any) -> StageRecord:
    """The record of a stage, every part of which is what `StageRecord` says.

    Raises:
        TypeError, AttributeError: something is missing, unknown or of another type.
    """
    if not isinstance(values, dict):
        raise TypeError("no mapping")
    record = StageRecord(**values)
    texts = (record.fingerprint, record.message, *record.inputs.values(), *record.outputs.values())
    well_formed = (
        record.stage == stage
        and record.status in get_args(Status)
        and all(isinstance(part, dict) for part in (record.inputs, record.outputs, record.summary))
        and all(isinstance(text, str) for text in texts)
        and isinstance(record.seconds, int | float)
        and isinstance(record.gate, bool)
        and bool(record.message.strip() or record.status not in ("failed", "skipped"))
    )
    if not well_formed:
        raise TypeError("of another form")
    return record
