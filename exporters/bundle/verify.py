"""Prove a bundle: every byte is the one that was packed, it does what it did, and nothing but the student is inside.

Needs numpy, pydantic and onnxruntime; neither torch nor the onnx package. Whatever the files say, it ends within
bounded time and memory: nothing is read before its size was checked, each file is read once, and models run in a
process of their own (`exporters.runtimes.confined`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from exporters.audit import audit_bundle
from exporters.audit.network import audit_network
from exporters.audit.openvino import audit_openvino
from exporters.audit.texts import audit_manifest, audit_texts
from exporters.bundle.documents import read_drift, read_labels, read_preprocessing
from exporters.bundle.golden import check_tolerances, explained, judge_golden, judge_golden_maps, predicted
from exporters.bundle.known import check_known
from exporters.bundle.layout import BundleSize, bundle_size, check_folder, check_listed
from exporters.bundle.manifest import (
    CARD,
    DRIFT,
    GOLDEN_CAM,
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    LABELS,
    MANIFEST,
    MODEL,
    PARITY,
    PREPROCESS,
    SEAL,
    check_listed_hash,
    describe_engine,
    map_size,
    parse_json,
    read_file,
    read_listed,
    read_manifest,
)
from exporters.bundle.openvino import openvino_files, weights_of
from exporters.bundle.regenerated import check_card, check_copies, check_metadata, check_regenerated
from exporters.bundle.signature import MOST_SIGNATURE_BYTES, SIGNATURE, Signer, check_signature, signed_files
from exporters.core.arrays import read_npz
from exporters.core.errors import GateError
from exporters.core.files import sha256_bytes
from exporters.core.outputs import CAM_NAME
from exporters.core.progress import counted, working
from exporters.onnx.reader import OnnxFile, read_onnx
from exporters.openvino.library import is_installed as openvino_is_installed
from exporters.runtimes import Explained
from exporters.runtimes.confined import confined_logits, confined_maps
from exporters.runtimes.files import Files, load
from exporters.tensorrt.sidecar import check_source, parse_sidecar

_TEXTS = (".json", ".md", ".txt", ".pbtxt", ".yaml")

Golden = Callable[[str, Files, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""From a model's name, its files, golden images and the number of classes to its logits, together and one by one."""

GoldenMaps = Callable[[str, Files, np.ndarray, int, tuple[int, int]], tuple[Explained, Explained]]
"""As `Golden`, with the size of the class activation maps, to logits and maps."""


@dataclass(frozen=True)
class VerifyReport:
    """What was proved.

    Args:
        size: how many files were checked, and their bytes.
        tensors: how many tensors of the models were matched with the manifest.
        golden_images: how many golden vectors were reproduced.
        golden_errors: by model, the largest error of any, relative to the logits' scale.
        not_run: OpenVINO networks whose golden vectors were not looked at, since OpenVINO is not installed.
        manifest: the parsed manifest.
        signature: `checked` by the signer that was asked for; `there`, of a right form, and not checked; or "".
    """

    size: BundleSize
    tensors: int
    golden_images: int
    golden_errors: dict[str, float]
    manifest: dict[str, Any] = field(repr=False)
    signature: str = ""
    not_run: tuple[str, ...] = ()


def verify_bundle(path: Path, *, signer: Signer | None = None, trusted: bool = False) -> VerifyReport:
    """Check a bundle completely.

    Args:
        path: the folder.
        signer: who must have signed it; None: a signature may be there, and only its form is checked.
        trusted: its models come from this program, and are run in this process.

    Raises:
        UsageError: no such folder (exit 2).
        GateError: a damaged, missing, unlisted or forbidden file, named; a model that is not the student that was
            matched at export, or does not reproduce the golden vectors; an engine of another file than those beside
            it; no signature of the signer (exit 3).
        UnavailableError: onnxruntime is missing, or what checks signatures (exit 4).
    """
    manifest = read_manifest(path)
    check_listed(manifest)
    check_copies(manifest)
    check_folder(path, manifest)
    size = bundle_size(path, manifest)
    signature = _signature(path, signer)
    models, engines = sorted(manifest["models"].items()), sorted(manifest.get("engines", {}).items())
    read = [name for name in sorted(manifest["files"]) if _is_read(name)]
    contents = {name: read_listed(path, manifest, name) for name in counted(read, "reading files", len(read))}
    irs = sorted(manifest.get("openvino", {}).items())
    others = sorted(set(manifest["files"]) - set(contents) - set(manifest["models"]) - set(openvino_files(manifest)))
    for name in counted(others, "hashing files", len(others)):
        check_listed_hash(path, manifest, name)
    labels = read_labels(contents[LABELS])
    preprocessing = read_preprocessing(contents[PREPROCESS])
    audit_manifest(MANIFEST, manifest)
    audit_texts(contents, len(labels))
    for name, entry in engines:
        _check_engine(name, entry, contents[f"{name}.json"], manifest["files"])
    images, logits = _golden(contents, preprocessing.size, len(labels), manifest["golden"]["images"])
    size_of_maps = map_size(manifest)
    maps = None if size_of_maps is None else _golden_maps(contents, len(images), size_of_maps)
    with working("making again what follows from the manifest"):
        check_regenerated(contents, manifest, labels, preprocessing)
    check_known(manifest, logits)
    if "drift" in manifest:
        read_drift(contents[DRIFT], manifest)
    expected = Explained(logits, np.zeros(0) if maps is None else maps)
    tensors, errors, not_run = 0, {}, []

    def reproduced(name: str, files: Files, entry: Mapping[str, Any]) -> float:
        with working(f"{name} on golden images"):
            return _reproduced(name, files, entry, images, expected, size_of_maps, trusted=trusted)

    for name, entry in counted(models, "models", len(models)):  # one at a time: each may have 2 GB
        data = read_listed(path, manifest, name)
        model = audit_bundle(data, entry["initializers"], entry["operators"], name)
        _check_entry(name, entry, model, len(data))
        audit_network(model, data, name, manifest["parameters"])
        _check_shapes(name, model, len(labels), preprocessing.size, size_of_maps)
        check_metadata(name, model, manifest, labels, preprocessing)
        tensors += len(model.tensors)
        errors[name] = reproduced(name, (data,), entry)
    for name, entry in counted(irs, "OpenVINO networks", len(irs)):
        files = (read_listed(path, manifest, name), read_listed(path, manifest, weights_of(name)))
        base = read_onnx(read_listed(path, manifest, MODEL))
        network = audit_openvino(*files, base, name, entry["precision"])
        if network.operators != entry["operators"]:
            raise GateError(f"{MANIFEST}: not the operators of {name}")
        tensors += len(network.constants)
        if openvino_is_installed():
            errors[name] = reproduced(name, files, entry)
        else:
            not_run.append(name)
    parity = parse_json(PARITY, contents[PARITY])
    check_tolerances({**manifest["models"], **dict(irs)}, parity, logits, maps)
    check_card(contents[CARD], manifest, labels, preprocessing, parity)
    if signature is not None and signer is not None:
        check_signature(path, signature, _all_files(path, manifest), signer)
    told = "" if signature is None else "there" if signer is None else "checked"
    return VerifyReport(size, tensors, len(images), errors, manifest, told, tuple(not_run))


def _is_read(name: str) -> bool:
    """Whether a file is looked into, and is no model; the others' hashes are all that counts."""
    return name in {GOLDEN_INPUTS, GOLDEN_OUTPUTS, GOLDEN_CAM} or PurePosixPath(name).suffix in _TEXTS


def _signature(path: Path, signer: Signer | None) -> bytes | None:
    if not (path / SIGNATURE).exists():
        if signer is not None:
            raise GateError(
                f"{SIGNATURE}: missing, and a signature of {signer.describe()} is required",
                remedy="Ask who packed the bundle to sign it (docs/bundle.md).",
            )
        return None
    data = read_file(path, SIGNATURE, MOST_SIGNATURE_BYTES)
    signed_files(data)
    return data


def _all_files(path: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    sealed = {name: sha256_bytes(read_file(path, name, 2**23)) for name in (MANIFEST, SEAL)}
    return {name: entry["sha256"] for name, entry in manifest["files"].items()} | sealed


def _reproduced(
    name: str,
    files: Files,
    entry: Mapping[str, Any],
    images: np.ndarray,
    expected: Explained,
    map_size: tuple[int, int] | None,
    *,
    trusted: bool,
) -> float:
    """The largest error of a model on the golden images; GateError where it is larger than its entry allows.

    Args:
        files: of the model, as `load` takes them.
        expected: the golden outputs; maps count where `map_size` is known.
    """
    classes = expected.logits.shape[1]
    if map_size is None:
        run: Golden = _trusted_logits if trusted else confined_logits
        together, single = run(name, files, images, classes)
    else:
        run_with_maps: GoldenMaps = _trusted_maps if trusted else confined_maps
        answers = run_with_maps(name, files, images, classes, map_size)
        judge_golden_maps(name, answers, expected, entry["cam_tolerance"])
        together, single = (each.logits for each in answers)
    return judge_golden(name, together, single, expected.logits, entry["golden_tolerance"])


def _trusted_logits(_name: str, files: Files, images: np.ndarray, _classes: int) -> tuple[np.ndarray, np.ndarray]:
    return predicted(load(files).predict, images)


def _trusted_maps(
    _name: str, files: Files, images: np.ndarray, _classes: int, _map_size: tuple[int, int]
) -> tuple[Explained, Explained]:
    return explained(load(files).explain, images)


def _golden(contents: Mapping[str, bytes], size: int, classes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    images = read_npz(GOLDEN_INPUTS, contents[GOLDEN_INPUTS], "image")
    logits = read_npz(GOLDEN_OUTPUTS, contents[GOLDEN_OUTPUTS], "logits")
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
        raise GateError(f"{GOLDEN_INPUTS}: {images.dtype} {list(images.shape)} are no images of {size} pixels")
    if len(images) != count:
        raise GateError(f"{GOLDEN_INPUTS}: {len(images)} images, and {MANIFEST} tells of {count}")
    if logits.dtype != np.float32 or logits.shape != (len(images), classes):
        raise GateError(f"{GOLDEN_OUTPUTS}: {logits.dtype} {list(logits.shape)} do not fit images and labels")
    if not np.isfinite(logits).all():
        raise GateError(f"{GOLDEN_OUTPUTS}: not all logits are finite")
    return images, logits


def _golden_maps(contents: Mapping[str, bytes], count: int, size: tuple[int, int]) -> np.ndarray:
    maps = read_npz(GOLDEN_CAM, contents[GOLDEN_CAM], "cam")
    if maps.dtype != np.float32 or maps.shape != (count, *size) or not np.isfinite(maps).all():
        raise GateError(f"{GOLDEN_CAM}: {maps.dtype} {list(maps.shape)} are no {count} maps of {size[0]} by {size[1]}")
    return maps


def _check_entry(name: str, entry: Mapping[str, Any], model: OnnxFile, size: int) -> None:
    """The manifest's figures about a model are those of the file."""
    found = {"size": size, "opset": model.opsets.get("", 0), "ir_version": model.ir_version}
    different = [key for key, value in found.items() if entry[key] != value]
    if different:
        raise GateError(f"{MANIFEST}: not the {different[0]} of {name}")


def _check_shapes(name: str, model: OnnxFile, classes: int, size: int, map_size: tuple[int, int] | None) -> None:
    inputs = [(value.name, value.dtype, value.dims) for value in model.inputs]
    if inputs != [("image", "uint8", ("batch", size, size, 3))]:
        raise GateError(f"{PREPROCESS}: does not fit {name}, whose inputs are {str(inputs)[:300]}")
    outputs = [(value.name, value.dims) for value in model.outputs]
    expected: list[tuple[str, tuple[int | str, ...]]] = [("logits", ("batch", classes))]
    if map_size is not None:
        expected.append((CAM_NAME, ("batch", *map_size)))
    if outputs != expected:
        raise GateError(f"{LABELS}: {classes} labels do not fit {name}, whose outputs are {str(outputs)[:300]}")


def _check_engine(name: str, entry: Mapping[str, Any], sidecar: bytes, files: Mapping[str, Any]) -> None:
    """The plan is the one that its sidecar speaks of, built from the model beside it; nothing of it is loaded."""
    value = parse_sidecar(f"{name}.json", sidecar)
    check_source(name, value, files[entry["source"]]["sha256"])
    if value["plan"] != files[name]:
        raise GateError(f"{name}: not the plan that {name}.json was written for")
    if entry != describe_engine(entry["source"], value):
        raise GateError(f"{MANIFEST}: says of {name} what {name}.json does not")
