"""The sidecar `<name>.plan.json`: what an engine is, what it was built from, and the hash that lets it be loaded.

A plan is executable code. Nothing here or elsewhere deserialises one before its sha256 was compared.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.core.errors import GateError, UsageError
from exporters.core.files import atomic_path, dump_json, open_regular, sha256_bytes

FORMAT = "tmkd-engine/1"
NO_GPU = "built without a GPU"
UNSEEN_GPU = "not known: torch sees none"
_MOST_BYTES = 2**22
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "library": dict,
    "gpu": str,
    "compute_capabilities": list,
    "precision": str,
    "islands": list,
    "profile": (dict, type(None)),
    "settings": dict,
    "onnx": dict,
    "plan": dict,
    "network": dict,
    "engine": dict,
    "timing_cache": str,
    "seconds": (int, float),
    "log": list,
}


def sidecar_path(plan: Path) -> Path:
    """The path of the sidecar: `<name>.plan.json` next to `<name>.plan`."""
    return plan.with_name(plan.name + ".json")


def write_engine(path: Path, plan: bytes, sidecar: Mapping[str, Any]) -> None:
    """Write a plan and its sidecar, both or none: the sidecar is last, and a plan without one is no engine."""
    sidecar_file = sidecar_path(path)
    for target in (path, sidecar_file):
        if target.is_dir():
            raise UsageError(f"{target}: is a folder")
    replacing = False
    try:
        with atomic_path(sidecar_file) as new_sidecar:
            new_sidecar.write_text(dump_json(sidecar), encoding="utf-8")
            with atomic_path(path) as new_plan:
                new_plan.write_bytes(plan)
                replacing = True
                sidecar_file.unlink(missing_ok=True)
    except BaseException:
        if replacing and not sidecar_file.exists():
            path.unlink(missing_ok=True)
        raise


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read and check a sidecar.

    Raises:
        UsageError: no such file.
        GateError: damaged, or no sidecar.
    """
    try:
        with open_regular(path) as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_sidecar(path.name, data)


def parse_sidecar(name: str, data: bytes) -> dict[str, Any]:
    """The content of a sidecar, checked; what is damaged or none raises GateError with the file's name."""
    if len(data) > _MOST_BYTES:
        raise GateError(f"{name}: larger than any sidecar")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise GateError(f"{name}: damaged, it is no JSON") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise GateError(f"{name}: not a sidecar of the format {FORMAT}")
    if set(value) != set(_FIELDS):
        odd = sorted(set(value) ^ set(_FIELDS))
        raise GateError(f"{name}: fields missing or unknown: {', '.join(odd)}")
    for key, kind in _FIELDS.items():
        if not isinstance(value[key], kind):
            raise GateError(f"{name}: `{key}` has the wrong type")
    for key in ("onnx", "plan"):
        entry = value[key]
        if set(entry) != {"sha256", "size"} or not _is_sha256(entry["sha256"]) or not isinstance(entry["size"], int):
            raise GateError(f"{name}: `{key}` needs sha256 and size")
    if set(value["library"]) != {"name", "version"}:
        raise GateError(f"{name}: `library` needs name and version")
    return value


def check_fresh(plan: Path, sidecar: Path, onnx_sha256: str) -> dict[str, Any]:
    """Is this engine whole, and was it built from this ONNX file?

    Returns:
        The sidecar.

    Raises:
        UsageError: a file is missing.
        GateError: a damaged sidecar, a changed plan, or an engine of another student.
    """
    value = read_sidecar(sidecar)
    check_source(plan.name, value, onnx_sha256)
    read_plan(plan, value["plan"]["sha256"])
    return value


def check_source(name: str, sidecar: Mapping[str, Any], onnx_sha256: str) -> None:
    """Refuse, by GateError, the engine of this name if its sidecar says that it was built from another ONNX file."""
    found = sidecar["onnx"]["sha256"]
    if found != onnx_sha256:
        raise GateError(
            f"{name}: stale, it was built from another ONNX file ({found[:12]}…, not {onnx_sha256[:12]}…)",
            remedy="Build the engine again.",
        )


def read_plan(plan: Path | bytes, sha256: str) -> bytes:
    """The bytes of a plan, once they have this sha256; else GateError. A missing file is UsageError."""
    if isinstance(plan, bytes):
        name, data = "the engine", plan
    else:
        name = plan.name
        try:
            with open_regular(plan) as stream:
                data = stream.read()
        except OSError as error:
            raise UsageError(f"{plan}: cannot be read ({error.strerror})") from error
    if sha256_bytes(data) != sha256:
        raise GateError(
            f"{name}: its sha256 is not {sha256[:12]}…; it is not loaded, since a plan is executable code",
            remedy="Build the engine again.",
        )
    return data


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None
