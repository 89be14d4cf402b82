"""Every text that ships has the size of what it says, and tells nothing about the machine that it was written on."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from exporters.core.errors import GateError

_BUDGET = {
    ".json": (2**19, 0), ".md": (2**17, 512), ".txt": (2**10, 1024), ".pbtxt": (2**13, 0), ".yaml": (2**13, 0),
    "labels.json": (2**10, 1024), "sbom.cdx.json": (2**17, 0), "benchmark.json": (2**17, 0),
    "drift.json": (2**13, 0),
}  # fmt: skip
"""Bytes of a file of a name or kind: at most the first number and the second for each class."""

_MANIFEST = (2**17, 1024)
"""The same for the manifest, the second for each class and each tensor."""

_LONGEST_STRING = 4096
_LONGEST_NUMBERS = 64

# Folders at the root of Linux and macOS systems and of containers; a class may be called /m/0abc.
_ROOTS = (
    "Applications|Library|Users|Volumes|app|bin|boot|content|data|dev|etc|home|kaggle|lib|lib64|media|mnt|nfs|opt|private"
    "|proc|project|projects|root|run|sbin|scratch|srv|sys|tmp|usr|var|work|workspace"
)
_PATH = re.compile(rf"(?<![\w.~:/-])(?:/(?:{_ROOTS})/[\w.~-]|[A-Za-z]:\\+[\w.~-]|\\\\[\w.-]+\\|~/|file://)")


def audit_texts(contents: Mapping[str, bytes], classes: int) -> None:
    """Check the text files of a bundle.

    Args:
        contents: the files that the manifest lists, by name, their hashes checked.
        classes: K, which some texts grow with.

    Raises:
        GateError: not text, more bytes than such a file needs, numbers or strings as long as weights are, or a path of
            some machine.
    """
    for name, data in sorted(contents.items()):
        suffix = PurePosixPath(name).suffix
        if suffix not in _BUDGET:
            continue
        fixed, each = _BUDGET.get(name, _BUDGET[suffix])
        if len(data) > fixed + each * classes:
            raise GateError(f"{name}: {len(data):,} bytes are more than such a file needs for {classes} classes")
        text = _decoded(name, data)
        if suffix == ".json":
            _check_values(name, _parsed(name, text))
            continue
        if any(len(line) > _LONGEST_STRING for line in text.splitlines()):
            raise GateError(f"{name}: holds a line of more than {_LONGEST_STRING:,} characters")
        check_paths(name, [text])


def audit_manifest(name: str, manifest: Mapping[str, Any]) -> None:
    """The same for the manifest, which grows with the tensors too; raises GateError."""
    tensors = sum(len(entry["initializers"]) for entry in manifest["models"].values())
    fixed, each = _MANIFEST
    size = len(json.dumps(manifest))
    if size > fixed + each * (manifest["classes"] + tensors):
        raise GateError(f"{name}: {size:,} bytes are more than a manifest of {tensors:,} tensors needs")
    _check_values(name, manifest)


def check_paths(name: str, texts: Iterable[str]) -> None:
    """Refuse, by GateError, a path that begins at the root or home of some machine, and with it the name of a user."""
    for text in texts:
        found = _PATH.search(text)
        if found is not None:
            shown = text[found.start() : found.start() + 60].splitlines()[0]
            raise GateError(f"{name}: tells about the machine that it was made on: {shown!r}")


def _decoded(name: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GateError(f"{name}: not text") from error
    if "\0" in text:
        raise GateError(f"{name}: not text")
    return text


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GateError(f"{name}: not JSON ({str(error)[:200]})") from error


def _check_values(name: str, value: Any) -> None:
    values = list(_walk(value))
    check_paths(name, (found for found in values if isinstance(found, str)))
    for found in values:
        if isinstance(found, str) and len(found) > _LONGEST_STRING:
            raise GateError(f"{name}: holds a text of {len(found):,} characters")
        if isinstance(found, list) and sum(isinstance(entry, int | float) for entry in found) > _LONGEST_NUMBERS:
            raise GateError(f"{name}: holds a list of {len(found):,} numbers")


def _walk(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        found = waiting.pop()
        yield found
        if isinstance(found, dict):
            waiting += [*found, *found.values()]
        elif isinstance(found, list):
            waiting += found
