"""A bundle's manifest: every file's size and sha256, sealed by `manifest.sha256`, and the one way to read a bundle.

Nothing is parsed before its hash was checked, and nothing is read before its size was.
"""

import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.bundle.not_a_bundle import check_is_bundle
from exporters.core.errors import GateError
from exporters.core.files import sha256_bytes

FORMAT = "tmkd-bundle/1"
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
MODEL = "model.onnx"
PREPROCESS = "preprocess.json"
LABELS = "labels.json"
GOLDEN_INPUTS = "golden/inputs.npz"
GOLDEN_OUTPUTS = "golden/outputs.npz"
PARITY = "parity.json"
BENCHMARK = "benchmark.json"
CARD = "MODEL_CARD.md"
SBOM = "sbom.cdx.json"
REQUIRED = (MODEL, PREPROCESS, LABELS, GOLDEN_INPUTS, GOLDEN_OUTPUTS, PARITY, BENCHMARK, CARD, SBOM)

COPIES = "triton/"
COPIED = (".onnx", ".plan")
"""Below `COPIES`, models and engines are copies of those that the bundle has elsewhere."""

SCHEMA = Path(__file__).with_name("manifest.schema.json")
"""The JSON Schema of a manifest, for other programs; `read_manifest` checks more, and without it."""

GOLDEN_LIMITS = {"fp32": 1e-3, "fp16": 5e-2, "int8": 0.5}
"""The precisions of a bundle's models, and the largest `golden_tolerance` of each."""

ENGINES = "engines"
ENGINE_SOURCES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.trt.onnx"}
"""The precisions of engines, and the ONNX file that each is built from."""

LIMITS = {
    ".onnx": 2**31, ".plan": 2**32, ".npz": 2**29, ".json": 2**26, ".md": 2**24, ".txt": 2**24, ".pbtxt": 2**16,
    ".yaml": 2**16,
}  # fmt: skip
"""The kinds of file that a bundle holds, and the most bytes of each."""

_MANIFEST_LIMIT = 2**26
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
    manifest = parse_json(MANIFEST, data)
    _check_manifest(manifest)
    return manifest


def read_listed(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """Read a file that the manifest lists, after its size and before its use checked by its sha256.

    Raises:
        GateError: missing, not listed, or not what the manifest says.
    """
    entry = manifest["files"].get(name)
    if entry is None:
        raise GateError(f"{name}: {MANIFEST} does not list it")
    data = read_file(folder, name, LIMITS[Path(name).suffix], entry["size"])
    if sha256_bytes(data) != entry["sha256"]:
        raise GateError(f"{name}: damaged, its sha256 is not that of {MANIFEST}")
    return data


def read_file(folder: Path, name: str, limit: int, size: int | None = None) -> bytes:
    """Read a regular file of at most `limit` bytes, of exactly `size` bytes where that is known, or raise GateError."""
    path = folder / name
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise GateError(f"{name}: not an ordinary file")
        if status.st_size > limit:
            raise GateError(f"{name}: {status.st_size:,} bytes are more than a bundle holds")
        if size is not None and status.st_size != size:
            raise GateError(f"{name}: damaged, it has {status.st_size:,} bytes instead of {size:,}")
        with path.open("rb") as stream:
            return stream.read(limit + 1)
    except FileNotFoundError as error:
        raise GateError(f"{name}: missing; {folder} is damaged or not a bundle") from error
    except OSError as error:
        raise GateError(f"{name}: cannot be read ({error.strerror})") from error


def parse_json(name: str, data: bytes) -> Any:
    """Parse a bundle's JSON file or raise GateError naming it."""
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise GateError(f"{name}: not JSON ({str(error)[:200]})") from error


def _check_manifest(manifest: Any) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise GateError(f"{MANIFEST}: not of format {FORMAT}")
    files, models, golden = (manifest.get(key) for key in ("files", "models", "golden"))
    if not (isinstance(files, dict) and isinstance(models, dict) and isinstance(golden, dict)):
        raise GateError(f"{MANIFEST}: needs files, models and golden")
    for name, entry in files.items():
        if not _NAME.fullmatch(name) or name in {MANIFEST, SEAL}:
            raise GateError(f"{MANIFEST}: lists {name!r}, which is no name of a file in a bundle")
        if Path(name).suffix not in LIMITS:
            raise GateError(f"{name}: a bundle holds no files of this kind")
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("size"), int)
            or not _SHA256.fullmatch(str(entry.get("sha256")))
        ):
            raise GateError(f"{MANIFEST}: {name} needs a sha256 and a size")
    _check_facts(manifest)
    missing = [name for name in REQUIRED if name not in files]
    if missing:
        raise GateError(f"{MANIFEST}: does not list {', '.join(missing)}")
    copies = {name for name in files if name.startswith(COPIES) and Path(name).suffix in COPIED}
    originals = {(entry["sha256"], Path(name).suffix) for name, entry in files.items() if name not in copies}
    for name in sorted(copies):
        if (files[name]["sha256"], Path(name).suffix) not in originals:
            raise GateError(f"{name}: not a copy of a model of the bundle")
    onnx_files = {name for name in files if name.endswith(".onnx")} - copies
    if onnx_files != set(models):
        raise GateError(f"{MANIFEST}: describes the models {sorted(models)} and lists {sorted(onnx_files)}")
    for name, entry in models.items():
        if not (
            isinstance(entry, dict)
            and isinstance(entry.get("initializers"), list)
            and all(isinstance(tensor, dict) for tensor in entry["initializers"])
            and isinstance(entry.get("operators"), dict)
        ):
            raise GateError(f"{MANIFEST}: {name} needs initializers and operators")
        limit = GOLDEN_LIMITS.get(str(entry.get("precision")), 0.0)
        tolerance = entry.get("golden_tolerance")
        if not isinstance(tolerance, float) or not 0 < tolerance <= limit:
            raise GateError(
                f"{MANIFEST}: {name} needs a precision of {', '.join(GOLDEN_LIMITS)} and a golden_tolerance above 0 and"
                f" at most {limit:g}, not {tolerance!r}"
            )
    if models.get(MODEL, {}).get("precision") != "fp32":
        raise GateError(f"{MANIFEST}: {MODEL} is the fp32 model of a bundle")
    _check_engines(files, models, manifest.get("engines", {}))


def _check_engines(files: Mapping[str, Any], models: Mapping[str, Any], engines: Any) -> None:
    """Each engine is listed with its sidecar, and was built from a model of the bundle."""
    plans = {name for name in files if name.endswith(".plan") and not name.startswith(COPIES)}
    if not isinstance(engines, dict) or set(engines) != plans:
        raise GateError(f"{MANIFEST}: `engines` does not describe the listed engines: {', '.join(sorted(plans))}")
    for name, entry in engines.items():
        source = str(entry.get("source")) if isinstance(entry, dict) else ""
        if source not in models or name != engine_path(source) or entry.get("precision") != models[source]["precision"]:
            raise GateError(f"{MANIFEST}: {name} needs a source among the models, of its name and precision")
        if f"{name}.json" not in files:
            raise GateError(f"{MANIFEST}: {name} has no sidecar")


def _check_facts(manifest: Mapping[str, Any]) -> None:
    """What `verify` reckons with besides files and models."""
    for key in ("classes", "parameters"):
        if not isinstance(manifest.get(key), int) or manifest[key] < 1:
            raise GateError(f"{MANIFEST}: needs the number of {key}")
    facts = manifest.get("facts")
    results = facts.get("results") if isinstance(facts, dict) else None
    if not isinstance(results, dict):
        raise GateError(f"{MANIFEST}: needs facts with results")
    for split, found in results.items():
        counts = (found.get("correct"), found.get("images")) if isinstance(found, dict) else (None, None)
        right, images = (count if isinstance(count, int) else -1 for count in counts)
        if not 0 <= right <= images or images == 0 or not _SHA256.fullmatch(str(found.get("sha256"))):
            raise GateError(f"{MANIFEST}: the results of {split} need images, correct and sha256")
