"""Copies of what was made: to where it ships from, or aside with the report of why it does not ship."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.artifacts.decide import EngineVerdict
from exporters.artifacts.status import Status
from exporters.core.files import write_bytes, write_json
from exporters.tensorrt.sidecar import sidecar_path


def set_aside(folder: Path, file: str, data: bytes, report: Mapping[str, Any]) -> None:
    """Write a rejected ONNX file and `<file>.json`, its entry of `parity.json`, into a folder."""
    write_bytes(folder / file, data)
    write_json(folder / f"{file}.json", report)


def copy_engine(verdict: EngineVerdict, source: Path, folder: Path) -> None:
    """Copy an engine and its sidecar, and write `<plan>.parity.json` for one that does not ship.

    One that was rejected with its ONNX file may not have been built: then there is nothing to copy.
    """
    plan = source / verdict.engine.file
    if verdict.engine.not_made:
        return
    for path in (plan, sidecar_path(plan)):
        write_bytes(folder / path.name, path.read_bytes())
    if verdict.status is not Status.SHIPPED:
        write_json(folder / f"{plan.name}.parity.json", verdict.to_json())
