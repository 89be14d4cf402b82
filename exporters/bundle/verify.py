"""Prove a bundle: every byte is the one that was packed, it does what it did, and nothing but the student is inside.

Needs numpy and onnxruntime; neither torch nor the onnx package.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from exporters.audit import audit_bundle
from exporters.audit.network import audit_network
from exporters.audit.texts import audit_manifest, audit_texts
from exporters.bundle.golden import check_golden, check_tolerances
from exporters.bundle.manifest import (
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    LABELS,
    MANIFEST,
    PARITY,
    PREPROCESS,
    SEAL,
    describe_engine,
    parse_json,
    read_listed,
    read_manifest,
)
from exporters.bundle.triton import REPOSITORY, labels_text
from exporters.core.arrays import read_npz
from exporters.core.errors import GateError, UsageError
from exporters.images.preprocessing import Preprocessing
from exporters.onnx.reader import OnnxFile
from exporters.runtimes import OnnxRuntime
from exporters.student.student import check_labels
from exporters.tensorrt.sidecar import check_source, parse_sidecar

MOST_GOLDEN_IMAGES = 64

_MAY_BE_ADDED = {"model.sig"}  # a signature is made over the finished bundle


@dataclass(frozen=True)
class VerifyReport:
    """What was proved.

    Args:
        files: how many files were checked, the manifest and its seal included.
        size: of all of them, in bytes.
        tensors: how many tensors of the models were matched with the manifest.
        golden_images: how many golden vectors were reproduced.
        golden_errors: by model, the largest error of any, relative to the logits' scale.
        manifest: the parsed manifest.
    """

    files: int
    size: int
    tensors: int
    golden_images: int
    golden_errors: dict[str, float]
    manifest: dict[str, Any] = field(repr=False)


def verify_bundle(path: Path) -> VerifyReport:
    """Check a bundle completely.

    Raises:
        UsageError: no such folder (exit 2).
        GateError: a damaged, missing, unlisted or forbidden file, named; a model that is not the student that was
            matched at export, or does not reproduce the golden vectors; an engine of another file than those beside
            it (exit 3).
        UnavailableError: onnxruntime is missing (exit 4).
    """
    manifest = read_manifest(path)
    size = _check_listing(path, manifest)
    # Every hash before any content.
    contents = {name: read_listed(path, manifest, name) for name in sorted(manifest["files"])}
    arrays = sorted(name for name in contents if name.endswith(".npz"))
    if arrays != [GOLDEN_INPUTS, GOLDEN_OUTPUTS]:
        raise GateError(f"{', '.join(arrays)}: a bundle has the golden vectors and no other arrays")
    labels = _labels(contents[LABELS])
    audit_manifest(MANIFEST, manifest)
    audit_texts(contents, len(labels))
    preprocessing = _preprocessing(contents[PREPROCESS])
    tensors = 0
    for name, entry in sorted(manifest["models"].items()):
        model = audit_bundle(contents[name], entry["initializers"], entry["operators"], name)
        audit_network(model, contents[name], name, manifest["parameters"])
        _check_model(name, model, labels, preprocessing)
        tensors += len(model.tensors)
    _check_repository(contents, labels)
    for name, entry in sorted(manifest.get("engines", {}).items()):
        _check_engine(name, entry, contents[f"{name}.json"], manifest["files"])
    images, logits = _golden(contents, preprocessing.size, len(labels))
    errors = {}
    for name, entry in sorted(manifest["models"].items()):
        predict = OnnxRuntime(contents[name], threads=1).predict
        errors[name] = check_golden(name, predict, images, logits, entry["golden_tolerance"])
    check_tolerances(manifest["models"], parse_json(PARITY, contents[PARITY]), logits)
    return VerifyReport(len(contents) + 2, size, tensors, len(images), errors, manifest)


def _check_listing(folder: Path, manifest: Mapping[str, Any]) -> int:
    """Nothing in the folder but what is listed, nothing listed but what is there; gives the size of all files."""
    found: dict[str, int] = {}
    for root, directories, names in os.walk(folder, followlinks=False):
        here = Path(root)
        for name in [*directories, *names]:
            relative = (here / name).relative_to(folder).as_posix()
            status = (here / name).lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode):
                raise GateError(f"{relative}: not an ordinary file, such as a link")
            found[relative] = status.st_size
    listed = {*manifest["files"], MANIFEST, SEAL}
    missing, unlisted = sorted(listed - set(found)), sorted(set(found) - listed - _MAY_BE_ADDED)
    if missing:
        raise GateError(f"{', '.join(missing[:5])}: listed in {MANIFEST} and missing")
    if unlisted:
        raise GateError(f"{', '.join(unlisted[:5])}: in the bundle and not listed in {MANIFEST}")
    return sum(found.values())


def _check_repository(contents: Mapping[str, bytes], labels: list[str]) -> None:
    """Triton's files are those of its models and nothing else; that models are copies, the manifest was checked for."""
    for name, data in contents.items():
        if name.endswith(".txt") and data != labels_text(labels):
            raise GateError(f"{name}: not the labels of {LABELS}")
        place = name.split("/")
        if place[0] == REPOSITORY and not (
            (len(place) == 3 and place[2] in {"config.pbtxt", "labels.txt"}) or (len(place) == 4 and place[2] == "1")
        ):
            raise GateError(f"{name}: no file of a model repository")


def _labels(data: bytes) -> list[str]:
    try:
        value = parse_json(LABELS, data)
        return check_labels(value if isinstance(value, list) else [])
    except UsageError as error:
        raise GateError(f"{LABELS}: {error.message}") from error


def _preprocessing(data: bytes) -> Preprocessing:
    try:
        return Preprocessing.from_json(parse_json(PREPROCESS, data))
    except UsageError as error:
        raise GateError(f"{PREPROCESS}: {error.message}") from error


def _golden(contents: Mapping[str, bytes], size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    images = read_npz(GOLDEN_INPUTS, contents[GOLDEN_INPUTS], "image")
    logits = read_npz(GOLDEN_OUTPUTS, contents[GOLDEN_OUTPUTS], "logits")
    if len(images) > MOST_GOLDEN_IMAGES:
        raise GateError(f"{GOLDEN_INPUTS}: {len(images)} images, a bundle has at most {MOST_GOLDEN_IMAGES}")
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3) or len(images) == 0:
        raise GateError(f"{GOLDEN_INPUTS}: {images.dtype} {list(images.shape)} are no images of {size} pixels")
    if logits.dtype != np.float32 or logits.shape != (len(images), classes):
        raise GateError(f"{GOLDEN_OUTPUTS}: {logits.dtype} {list(logits.shape)} do not fit images and labels")
    return images, logits


def _check_model(name: str, model: OnnxFile, labels: list[str], preprocessing: Preprocessing) -> None:
    """The model's own metadata and shapes say the same as the files beside it."""
    size = preprocessing.size
    inputs = [(value.name, value.dtype, value.dims) for value in model.inputs]
    if inputs != [("image", "uint8", ("batch", size, size, 3))]:
        raise GateError(f"{PREPROCESS}: does not fit {name}, whose inputs are {inputs}")
    outputs = [(value.name, value.dims) for value in model.outputs]
    if outputs != [("logits", ("batch", len(labels)))]:
        raise GateError(f"{LABELS}: {len(labels)} labels do not fit {name}, whose outputs are {outputs}")
    for key, expected, file in (("labels", labels, LABELS), ("preprocessing", preprocessing.to_json(), PREPROCESS)):
        if parse_json(f"{name} ({key})", model.metadata.get(key, "").encode()) != expected:
            raise GateError(f"{file}: not the {key} that {name} was exported with")


def _check_engine(name: str, entry: Mapping[str, Any], sidecar: bytes, files: Mapping[str, Any]) -> None:
    """The plan is the one that its sidecar speaks of, built from the model beside it; nothing of it is loaded."""
    value = parse_sidecar(f"{name}.json", sidecar)
    check_source(name, value, files[entry["source"]]["sha256"])
    if value["plan"] != files[name]:
        raise GateError(f"{name}: not the plan that {name}.json was written for")
    if entry != describe_engine(entry["source"], value):
        raise GateError(f"{MANIFEST}: says of {name} what {name}.json does not")
