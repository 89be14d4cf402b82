"""The OpenVINO files of a bundle: their names, and what a manifest says of them."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from exporters.core.errors import GateError

FOLDER = "openvino"
SOURCE = "model.onnx"
"""What every OpenVINO file is made from; OpenVINO itself rounds the weights of fp16."""


def xml_name(precision: str) -> str:
    """The name of a network of this precision."""
    return "model.xml" if precision == "fp32" else f"model.{precision}.xml"


def xml_path(precision: str) -> str:
    """Where in a bundle it lies."""
    return f"{FOLDER}/{xml_name(precision)}"


def weights_of(xml: str) -> str:
    """The name of the weights beside a network, as OpenVINO looks for it."""
    return str(PurePosixPath(xml).with_suffix(".bin"))


def openvino_files(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The names of all OpenVINO files that a manifest describes."""
    for name in sorted(manifest.get("openvino", {})):
        yield from (name, weights_of(name))


def check_entries(manifest: Mapping[str, Any], limits: Mapping[str, float]) -> None:
    """Refuse, by GateError, entries that do not fit the manifest's other parts.

    Args:
        manifest: of a checked form.
        limits: the most tolerance of each precision.
    """
    for name, entry in manifest.get("openvino", {}).items():
        if name != xml_path(entry["precision"]):
            raise GateError(f"manifest.json: {name[:100]} is no OpenVINO file of {entry['precision']} in a bundle")
        if entry["golden_tolerance"] > (most := limits[entry["precision"]]) or entry.get("cam_tolerance", 0) > most:
            raise GateError(f"manifest.json: {name} needs tolerances of at most {most:g}")
        if ("cam_tolerance" in entry) != ("cam" in manifest):
            raise GateError(f"manifest.json: {name} needs a cam_tolerance where the bundle has class activation maps")
