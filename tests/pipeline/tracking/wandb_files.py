"""Reads the records of a `.wandb` file: records of protobuf in LevelDB's log format, after a header of 7 bytes."""

import json
from collections.abc import Iterator
from pathlib import Path
from struct import unpack
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK = 32768
_WHOLE, _LAST = 1, 4


def records(path: Path) -> Iterator[Record]:
    """Every record of a file, in order."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, parts = 7, b""
    while at + 7 <= len(data):
        if _BLOCK - at % _BLOCK < 7:
            at += _BLOCK - at % _BLOCK
            continue
        _checksum, length, kind = unpack("<IHB", data[at : at + 7])
        if kind == 0:
            break
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (_WHOLE, _LAST):
            yield Record.FromString(parts)
            parts = b""


def history(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Step and figures of each line of the history, without what the library adds (`_step`, `_runtime` and such)."""
    found = []
    for record in records(path):
        if record.WhichOneof("record_type") == "history":
            values = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
            }
            step = int(values["_step"]) if "_step" in values else int(record.history.step.num)
            found.append((step, {key: value for key, value in values.items() if not key.startswith("_")}))
    return found
