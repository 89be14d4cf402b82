"""A bundle's manifest: every file's size and sha256, sealed by `manifest.sha256`, and the one way to read a bundle.

Nothing is parsed before its hash was checked, and nothing is read before its size was.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from exporters.bundle.manifest_form import malformed
from exporters.bundle.not_a_bundle import check_is_bundle
from exporters.bundle.openvino import check_entries
from exporters.core.errors import GateError
from exporters.core.files import dump_json, open_regular, sha256_bytes

FORMAT = "tmkd-bundle/1"
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
MODEL = "model.onnx"
PREPROCESS = "preprocess.json"
LABELS = "labels.json"
GOLDEN_INPUTS = "golden/inputs.npz"
GOLDEN_OUTPUTS = "golden/outputs.npz"
GOLDEN_CAM = "golden/cam.npz"
PARITY = "parity.json"
BENCHMARK = "benchmark.json"
DRIFT = "drift.json"
CARD = "MODEL_CARD.md"
SBOM = "sbom.cdx.json"
REQUIRED = (MODEL, PREPROCESS, LABELS, GOLDEN_INPUTS, GOLDEN_OUTPUTS, PARITY, BENCHMARK, CARD, SBOM)

SCHEMA = Path(__file__).with_name("manifest.schema.json")
"""The JSON Schema of a manifest, for other programs; `read_manifest` checks more, and without it."""

GOLDEN_LIMITS = {"fp32": 1e-3, "fp16": 5e-2, "int8": 0.5}
"""The precisions of a bundle's models, and the largest `golden_tolerance` of each."""

MODELS = {
    "model.onnx": "fp32", "model.fp16.onnx": "fp16", "model.int8.onnx": "int8", "model.int8.trt.onnx": "int8",
}  # fmt: skip
"""The ONNX files that a bundle may have, and the precision of each."""

ENGINES = "engines"
ENGINE_SOURCES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.trt.onnx"}
"""The precisions of engines, and the ONNX file that each is built from."""

LIMITS = {
    ".onnx": 2**31, ".plan": 2**32, ".npz": 2**28, ".json": 2**19, ".md": 2**24, ".txt": 2**24, ".pbtxt": 2**13,
    ".yaml": 2**13, ".xml": 2**24, ".bin": 2**31, LABELS: 2**24,
}  # fmt: skip
"""The most bytes of each kind of file, and of one that grows with the classes."""

_MANIFEST_LIMIT = 2**23  # ImageNet-21k with two splits takes 4 MB
_MOST_FACTS = 2**15
_MOST_BYTES = 2**34
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")
_SEAL = re.compile(rf"([0-9a-f]{{64}})  {re.escape(MANIFEST)}\n")


def variant_of(file: str) -> str:
    """`fp32` for `model.onnx` and `model.plan`; of other names what stands in the middle, as `int8.trt`."""
    middle = Path(file).stem.removeprefix("model").removeprefix(".")
    return middle or "fp32"


def plan_name(source: str) -> str:
    """The name of the engine that is built from an ONNX file."""
    return f"{Path(source).stem}.plan"


def engine_path(source: str) -> str:
    """Where in a bundle the engine lies that is built from an ONNX file."""
    return f"{ENGINES}/{plan_name(source)}"


def describe_engine(source: str, sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says of an engine: what a service must know before it loads it.

    Args:
        source: the name of the ONNX file that it was built from.
        sidecar: the content of its sidecar.
    """
    keys = ("precision", "library", "gpu", "compute_capabilities", "profile")
    return {"source": source, **{key: sidecar[key] for key in keys}}


def map_size(manifest: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of the class activation maps of a bundle's models; None where they give none."""
    cam = manifest.get("cam")
    return None if cam is None else (cam["height"], cam["width"])


def temperature_of(manifest: Mapping[str, Any]) -> float:
    """The temperature of a bundle's probabilities, `softmax(logits / temperature)`; 1 where it has none."""
    return float(manifest.get("calibration", {}).get("temperature", 1.0))


def seal(manifest: bytes) -> bytes:
    """The content of `manifest.sha256`, in the format of `sha256sum`."""
    return f"{sha256_bytes(manifest)}  {MANIFEST}\n".encode()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a bundle, its seal first.

    Raises:
        UsageError: no such folder, or one that is something else; says what it is.
        GateError: damaged, or not a bundle; the file is named.
    """
    check_is_bundle(folder)
    seal_bytes = read_file(folder, SEAL, 200)
    data = read_file(folder, MANIFEST, _MANIFEST_LIMIT)
    match = _SEAL.fullmatch(seal_bytes.decode("latin-1"))
    if match is None:
        raise GateError(f"{SEAL}: damaged, it is not one line of sha256 and {MANIFEST}")
    if match[1] != sha256_bytes(data):
        raise GateError(f"{SEAL} and {MANIFEST} do not belong together: one of the two was changed")
    manifest = _loaded(MANIFEST, data)
    _check_manifest(manifest)
    _check_canonical(MANIFEST, manifest, data)
    checked: dict[str, Any] = manifest
    return checked


def read_listed(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """Read a file that the manifest lists, after its size and before its use checked by its sha256.

    Raises:
        GateError: missing, not listed, or not what the manifest says.
    """
    entry = _entry(manifest, name)
    data = read_file(folder, name, limit_of(name), entry["size"])
    if sha256_bytes(data) != entry["sha256"]:
        raise _damaged(name)
    return data


def check_listed_hash(folder: Path, manifest: Mapping[str, Any], name: str) -> None:
    """As `read_listed`, for a file whose content is not needed: it is hashed piece by piece, and never held."""
    entry = _entry(manifest, name)
    with _opened(folder, name, limit_of(name), entry["size"]) as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != entry["sha256"]:
        raise _damaged(name)


def _entry(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any] | None = manifest["files"].get(name)
    if entry is None:
        raise GateError(f"{name}: {MANIFEST} does not list it")
    return entry


def _damaged(name: str) -> GateError:
    return GateError(f"{name}: damaged, its sha256 is not that of {MANIFEST}")


def read_file(folder: Path, name: str, limit: int, size: int | None = None) -> bytes:
    """Read a regular file of at most `limit` bytes, of exactly `size` bytes where that is known, or raise GateError."""
    with _opened(folder, name, limit, size) as stream:
        return stream.read(os.fstat(stream.fileno()).st_size + 1)


@contextmanager
def _opened(folder: Path, name: str, limit: int, size: int | None) -> Iterator[BufferedReader]:
    path = folder / name
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise GateError(f"{name}: not an ordinary file")
        with open_regular(path) as stream:
            found = os.fstat(stream.fileno()).st_size
            if found > limit:
                raise GateError(f"{name}: {found:,} bytes are more than a bundle holds")
            if size is not None and found != size:
                raise GateError(f"{name}: damaged, it has {found:,} bytes instead of {size:,}")
            yield stream
    except FileNotFoundError as error:
        raise GateError(f"{name}: missing; {folder} is damaged or not a bundle") from error
    except OSError as error:
        raise GateError(f"{name}: cannot be read ({error.strerror})") from error


def parse_json(name: str, data: bytes) -> Any:
    """Parse a bundle's JSON file or raise GateError naming it: it must be as `dump_json` writes it, to the byte."""
    value = _loaded(name, data)
    _check_canonical(name, value, data)
    return value


def _loaded(name: str, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise GateError(f"{name}: not JSON ({str(error)[:200]})") from error


def _check_canonical(name: str, value: Any, data: bytes) -> None:
    try:
        canonical = dump_json(value).encode() == data
    except (ValueError, RecursionError) as error:
        raise GateError(f"{name}: not JSON ({str(error)[:200]})") from error
    if not canonical:
        raise GateError(f"{name}: not JSON as a bundle has it, with sorted keys, each once, and nothing between them")


def _check_manifest(manifest: Any) -> None:
    """Its form, and that its parts fit each other; `exporters.bundle.layout` says which files there are."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise GateError(f"{MANIFEST}: not of format {FORMAT}")
    if found := malformed(manifest):
        raise GateError(f"{MANIFEST}: {found}")
    for name, entry in manifest["files"].items():
        if not _NAME.fullmatch(name) or name in {MANIFEST, SEAL}:
            raise GateError(f"{MANIFEST}: lists {name!r}, which is no name of a file in a bundle")
        limit = limit_of(name)
        if entry["size"] > limit:
            raise GateError(f"{name}: {entry['size']:,} bytes are more than a bundle holds")
    if (size := sum(entry["size"] for entry in manifest["files"].values())) > _MOST_BYTES:
        raise GateError(f"{MANIFEST}: lists {size:,} bytes, more than a bundle holds")
    missing = [name for name in REQUIRED if name not in manifest["files"]]
    if missing:
        raise GateError(f"{MANIFEST}: does not list {', '.join(missing)}")
    for name, entry in manifest["models"].items():
        if MODELS.get(name) != entry["precision"]:
            raise GateError(f"{MANIFEST}: {name} of {entry['precision']} is no model of a bundle")
        if name not in manifest["files"]:
            raise GateError(f"{MANIFEST}: describes {name}, and does not list it")
        if entry["golden_tolerance"] > (most := GOLDEN_LIMITS[entry["precision"]]):
            raise GateError(
                f"{MANIFEST}: {name} needs a golden_tolerance of at most {most:g}, not {entry['golden_tolerance']!r}"
            )
        if ("cam_tolerance" in entry) != ("cam" in manifest):
            raise GateError(f"{MANIFEST}: {name} needs a cam_tolerance where the bundle has class activation maps")
        if entry.get("cam_tolerance", 0) > most:
            raise GateError(
                f"{MANIFEST}: {name} needs a cam_tolerance of at most {most:g}, not {entry['cam_tolerance']!r}"
            )
    if MODEL not in manifest["models"]:
        raise GateError(f"{MANIFEST}: {MODEL} is the fp32 model of a bundle")
    for name, entry in manifest.get("engines", {}).items():
        source = entry["source"]
        found = manifest["models"].get(source)
        if found is None or name != engine_path(source) or entry["precision"] != found["precision"]:
            raise GateError(f"{MANIFEST}: {name} needs a source among the models, of its name and precision")
    check_entries(manifest, GOLDEN_LIMITS)
    facts = manifest["facts"]
    free = sum(len(json.dumps(facts[key])) for key in ("teacher", "metrics", "data"))
    if free > _MOST_FACTS:
        raise GateError(f"{MANIFEST}: {free:,} bytes about teacher, metrics and data are more than it takes")
    for split, result in facts["results"].items():
        if result["correct"] > result["images"]:
            raise GateError(f"{MANIFEST}: the results of {split} have more correct answers than images")


def limit_of(name: str) -> int:
    """The most bytes of a file of this name; GateError where a bundle holds no files of its kind."""
    limit = LIMITS.get(name, LIMITS.get(Path(name).suffix))
    if limit is None:
        raise GateError(f"{name}: a bundle holds no files of this kind")
    return limit
