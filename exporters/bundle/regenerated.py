"""What of a bundle follows from the rest of it is made again, and compared byte by byte.

Served models' configurations, labels, KServe's resource, the metadata of each model and the header of the card say
nothing of their own: a forged manifest cannot make them say something else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from exporters import __version__
from exporters.bundle.front_matter import front_matter
from exporters.bundle.manifest import (
    BENCHMARK,
    CARD,
    LABELS,
    MANIFEST,
    PARITY,
    PREPROCESS,
    SBOM,
    map_size,
    parse_json,
)
from exporters.bundle.model_card import model_card
from exporters.bundle.openvino import openvino_files
from exporters.bundle.triton import KSERVE, kserve_service, triton_copies, triton_engines, triton_texts
from exporters.core.errors import GateError, UsageError
from exporters.core.licences import check_licence
from exporters.images.preprocessing import Preprocessing
from exporters.onnx.metadata import model_metadata
from exporters.onnx.reader import OnnxFile

_MALFORMED = (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError)


def check_regenerated(
    contents: Mapping[str, bytes], manifest: Mapping[str, Any], labels: Sequence[str], preprocessing: Preprocessing
) -> None:
    """Compare a bundle's texts with what its name, labels, preprocessing and facts give.

    Args:
        contents: by name, the files that are texts.
        manifest: of a checked form.

    Raises:
        GateError: one differs; it is named.
    """
    if manifest["classes"] != len(labels):
        raise GateError(f"{MANIFEST}: tells of {manifest['classes']:,} classes, and {LABELS} has {len(labels):,}")
    for split, found in manifest["facts"]["results"].items():
        if set(found["per_class"]) != set(labels):
            raise GateError(f"{MANIFEST}: the results of {split} are not those of the classes of {LABELS}")
    _check_licences(manifest["facts"]["licences"])
    name, served = manifest["name"], triton_engines(manifest.get("engines", {}))
    texts = triton_texts(name, preprocessing.size, labels, served, map_size(manifest))
    expected = {**texts, KSERVE: kserve_service(name)}
    for file, data in sorted(expected.items()):
        if contents[file] != data:
            raise GateError(f"{file}: not what the name, the size and the labels of this bundle give")
    parse_json(BENCHMARK, contents[BENCHMARK])
    _check_sbom(parse_json(SBOM, contents[SBOM]), manifest)


def check_copies(manifest: Mapping[str, Any]) -> None:
    """Triton's models are copies of those beside the manifest; GateError names one that is not."""
    served = triton_engines(manifest.get("engines", {}))
    for copy, original in triton_copies(manifest["name"], served).items():
        if manifest["files"][copy] != manifest["files"][original]:
            raise GateError(f"{copy}: not a copy of {original}")


def check_metadata(
    file: str, model: OnnxFile, manifest: Mapping[str, Any], labels: Sequence[str], preprocessing: Preprocessing
) -> None:
    """The metadata of a model are those of this bundle, to the byte; GateError names what differs."""
    licence = manifest["facts"]["licences"].get("weights")
    expected = model_metadata(manifest["name"], manifest["version"], labels, preprocessing, licence)
    if unknown := sorted(set(model.metadata) - {*expected, "licence"}):
        shown = ", ".join(key[:80] for key in unknown[:5])
        raise GateError(f"{file}: has metadata that no student has: {shown}")
    sources = {"labels": LABELS, "preprocessing": PREPROCESS}
    for key in ("labels", "preprocessing", "name", "version", "licence"):
        if model.metadata.get(key) != expected.get(key):
            raise GateError(f"{sources.get(key, MANIFEST)}: not the {key} that {file} was exported with")


def _check_licences(licences: Mapping[str, str | None]) -> None:
    for part, licence in licences.items():
        try:
            if licence is not None and check_licence(licence) != licence:
                raise GateError(f"{MANIFEST}: the licence of {part} is not as SPDX writes it")
        except UsageError as error:
            raise GateError(f"{MANIFEST}: the licence of {part}: {error.message}") from error


def check_card(
    card: bytes, manifest: Mapping[str, Any], labels: list[str], preprocessing: Preprocessing, parity: Any
) -> None:
    """The header of a card, and the whole of one that this version wrote.

    Args:
        card: its bytes.
        manifest: of a checked form.
        parity: the content of `parity.json`.

    Raises:
        GateError: it is not what these give.
    """
    if not card.startswith(f"{front_matter(manifest)}\n\n".encode()):
        raise GateError(f"{CARD}: its header is not what the facts of {MANIFEST} give")
    if manifest["version"] != __version__:
        return
    try:
        expected = model_card(manifest, labels, preprocessing, parity).encode()
    except _MALFORMED as error:
        raise GateError(f"{PARITY}: no card can be written from it") from error
    if card != expected:
        raise GateError(f"{CARD}: not what {MANIFEST}, {LABELS}, {PREPROCESS} and {PARITY} give")


def _check_sbom(document: Any, manifest: Mapping[str, Any]) -> None:
    """The bill of materials speaks of this student, its files and its licence."""
    licence, files = manifest["facts"]["licences"].get("weights"), manifest["files"]
    try:
        student = document["metadata"]["component"]
        stated = [
            entry.get("expression") or entry["license"].get("id") or entry["license"]["name"]
            for entry in student.get("licenses", [])
        ]
        parts = {part["name"]: [entry["content"] for entry in part["hashes"]] for part in student["components"]}
        name = student["name"]
    except _MALFORMED as error:
        raise GateError(f"{SBOM}: not the bill of materials of a student") from error
    shipped = (*manifest["models"], *manifest.get("engines", {}), *openvino_files(manifest))
    if name != manifest["name"]:
        raise GateError(f"{SBOM}: speaks of another student than {MANIFEST}")
    if parts != {file: [files[file]["sha256"]] for file in shipped}:
        raise GateError(f"{SBOM}: its files are not those of {MANIFEST}")
    if stated != ([] if licence is None else [licence]):
        raise GateError(f"{SBOM}: not the licence of {MANIFEST}")
