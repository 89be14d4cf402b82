"""Pack what ships: the student as ONNX, what is needed to use it, and the proofs; verified before it gets its name."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from exporters import __version__
from exporters.bundle.archive import tar_path, write_tar
from exporters.bundle.contents import BundleContents, ShippedEngine, ShippedIr, ShippedModel
from exporters.bundle.golden import cam_tolerance, golden_tolerance
from exporters.bundle.known import described_known, described_model
from exporters.bundle.manifest import (
    BENCHMARK,
    CARD,
    DRIFT,
    FORMAT,
    GOLDEN_CAM,
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    LABELS,
    MANIFEST,
    MODEL,
    PARITY,
    PREPROCESS,
    SBOM,
    SEAL,
    describe_engine,
    engine_path,
    map_size,
    seal,
    variant_of,
)
from exporters.bundle.manifest_form import MIN_GOLDEN_IMAGES
from exporters.bundle.model_card import model_card
from exporters.bundle.openvino import weights_of, xml_path
from exporters.bundle.sbom import sbom
from exporters.bundle.triton import KSERVE, kserve_service, triton_copies, triton_engines, triton_texts
from exporters.bundle.verify import verify_bundle
from exporters.core.arrays import npz_bytes
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import atomic_directory, atomic_path, dump_json, sha256_bytes
from exporters.core.licences import check_licences
from exporters.core.locks import held
from exporters.core.progress import counted, working
from exporters.onnx.reader import read_onnx
from exporters.openvino.network import read_network
from exporters.student.student import check_labels
from exporters.tensorrt.sidecar import parse_sidecar


def pack(contents: BundleContents, out_dir: Path) -> dict[str, Any]:
    """Write the bundle `out_dir` and `<out_dir>.tar` beside it; the same contents give the same bytes.

    The folder is complete and verified before it takes its name, replacing an older one.

    Returns:
        The manifest.

    Raises:
        UsageError: too few golden images, or shapes and labels that do not fit.
        UnavailableError: another process packs there.
        GateError: a parity report that did not pass, a file that tells of a folder of this machine, or a bundle that
            does not verify; then nothing is written.
    """
    failed = _not_passed(contents)
    if failed or MODEL not in {model.file for model in contents.models}:
        raise GateError(f"nothing is packed: parity of {', '.join(failed) or MODEL} has not passed")
    if len(contents.golden_images) < MIN_GOLDEN_IMAGES:
        raise UsageError(f"{len(contents.golden_images)} golden images; a bundle has at least {MIN_GOLDEN_IMAGES}")
    labels = check_labels(contents.labels)
    facts = {**asdict(contents.facts), "licences": check_licences(contents.facts.licences)}
    about: dict[str, Any] = {
        "format": FORMAT,
        "name": contents.name,
        "version": __version__,
        "architecture": contents.architecture,
        "parameters": contents.parameters,
        "classes": len(labels),
        "models": {model.file: _described(model, contents) for model in contents.models},
        "engines": {engine_path(engine.source): _described_engine(engine) for engine in contents.engines},
        **_described_irs(contents),
        "golden": {"images": len(contents.golden_images)},
        **_cam_size(contents),
        **described_known(contents.known, contents.golden_logits),
        **({} if contents.calibration is None else {"calibration": dict(contents.calibration)}),
        **({} if contents.drift is None else {"drift": {"images": contents.drift.images}}),
        "facts": facts,
    }
    # As `verify` reads them, which makes the card again.
    about, parity = (json.loads(dump_json(value)) for value in (about, contents.parity))
    files = {
        **{model.file: model.data for model in contents.models},
        **{engine_path(engine.source): engine.plan for engine in contents.engines},
        **{f"{engine_path(engine.source)}.json": engine.sidecar for engine in contents.engines},
        **_ir_files(contents),
        PREPROCESS: dump_json(contents.preprocessing.to_json()).encode(),
        LABELS: dump_json(labels).encode(),
        GOLDEN_INPUTS: npz_bytes("image", contents.golden_images),
        GOLDEN_OUTPUTS: npz_bytes("logits", contents.golden_logits),
        PARITY: dump_json(contents.parity).encode(),
        BENCHMARK: dump_json(contents.benchmark).encode(),
        CARD: model_card(about, labels, contents.preprocessing, parity).encode(),
    }
    if contents.golden_cam is not None:
        files[GOLDEN_CAM] = npz_bytes("cam", contents.golden_cam)
    if contents.drift is not None:
        files[DRIFT] = dump_json(contents.drift.to_json()).encode()
    files |= _serving(about, files, labels, contents.preprocessing.size)
    ships = {model.file: _entry(model.data) for model in contents.models}
    ships |= {engine_path(engine.source): _entry(engine.plan) for engine in contents.engines}
    ships |= {name: _entry(data) for name, data in _ir_files(contents).items()}
    files[SBOM] = sbom(about, ships, contents.preprocessing.size)
    manifest = {**about, "files": {name: _entry(content) for name, content in files.items()}}
    files[MANIFEST] = dump_json(manifest).encode()
    _check_nothing_of_here(files)
    files[SEAL] = seal(files[MANIFEST])
    archive = tar_path(out_dir)
    # Both take their names once both are whole: a full disk leaves an earlier bundle and its archive as they are.
    lock = held(out_dir.with_name(f".{out_dir.name}.lock"), partial(_refusal, out_dir))
    with lock, atomic_path(archive) as packed, atomic_directory(out_dir) as folder:
        for name, content in counted(files.items(), "writing the bundle's files", len(files)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with working("verifying the bundle"):
            verify_bundle(folder, trusted=True)
        with working(f"writing {archive.name}"):
            write_tar(folder, packed, out_dir.name)
        archive.unlink(missing_ok=True)  # never an older archive beside a newer folder
    return manifest


def _refusal(out_dir: Path, process: str) -> UnavailableError:
    return UnavailableError(
        f"{out_dir}: another process ({process}) packs a bundle there", remedy="Wait for it to end, or pack elsewhere."
    )


def _check_nothing_of_here(files: Mapping[str, bytes]) -> None:
    """Refuse the folders of this machine, whatever their roots are called; `verify` knows the usual roots alone."""
    for here in {Path.home(), Path.cwd(), Path(tempfile.gettempdir())}:
        leaking = [name for name, content in files.items() if here.name and f"{here}/".encode() in content]
        if leaking:
            raise GateError(
                f"nothing is packed: {', '.join(leaking)} would tell of the folder {here} of this machine",
                remedy="Give files by relative paths, and names that are no paths.",
            )


def _entry(content: bytes) -> dict[str, Any]:
    return {"sha256": sha256_bytes(content), "size": len(content)}


def _serving(
    about: Mapping[str, Any], files: Mapping[str, bytes], labels: Sequence[str], size: int
) -> dict[str, bytes]:
    """What servers other than ONNX Runtime itself want."""
    name, engines = about["name"], triton_engines(about["engines"])
    copies = {copy: files[original] for copy, original in triton_copies(name, engines).items()}
    texts = triton_texts(name, size, labels, engines, map_size(about))
    return {**texts, **copies, KSERVE: kserve_service(name)}


def _not_passed(contents: BundleContents) -> list[str]:
    """The files whose report did not pass, or that have none."""
    reports = {model.file: contents.parity.get(variant_of(model.file), {}) for model in contents.models}
    engines = contents.parity.get("engines", {})
    for engine in contents.engines:
        precision = parse_sidecar(engine.source, engine.sidecar)["precision"]
        reports[engine_path(engine.source)] = engines.get(precision, {})
    irs = contents.parity.get("openvino", {})
    reports |= {xml_path(ir.precision): irs.get(ir.precision, {}) for ir in contents.irs}
    return [file for file, report in reports.items() if report.get("passed") is not True]


def _ir_files(contents: BundleContents) -> dict[str, bytes]:
    """The OpenVINO files, by their names in the bundle."""
    files: dict[str, bytes] = {}
    for ir in contents.irs:
        path = xml_path(ir.precision)
        files |= {path: ir.xml, weights_of(path): ir.weights}
    return files


def _described_irs(contents: BundleContents) -> dict[str, Any]:
    """The manifest's `openvino`; nothing where there are no such files."""
    entries = {xml_path(ir.precision): _described_ir(ir, contents) for ir in contents.irs}
    return {"openvino": entries} if entries else {}


def _described_ir(ir: ShippedIr, contents: BundleContents) -> dict[str, Any]:
    report, maps = contents.parity["openvino"][ir.precision], contents.golden_cam
    return {
        "precision": ir.precision,
        "version": ir.version,
        "golden_tolerance": golden_tolerance(ir.precision, report, contents.golden_logits),
        **({} if maps is None else {"cam_tolerance": cam_tolerance(ir.precision, report, maps)}),
        "operators": read_network(ir.xml, ir.weights).operators,
    }


def _cam_size(contents: BundleContents) -> dict[str, Any]:
    """The manifest's `cam`; nothing where the models give no maps."""
    if contents.golden_cam is None:
        return {}
    height, width = contents.golden_cam.shape[1:]
    return {"cam": {"height": height, "width": width}}


def _described_engine(engine: ShippedEngine) -> dict[str, Any]:
    path = engine_path(engine.source)
    return describe_engine(engine.source, parse_sidecar(f"{path}.json", engine.sidecar))


def _described(model: ShippedModel, contents: BundleContents) -> dict[str, Any]:
    read, logits, maps = read_onnx(model.data), contents.golden_logits, contents.golden_cam
    report = contents.parity[variant_of(model.file)]
    return {
        "precision": model.precision,
        "size": len(model.data),
        "opset": read.opsets.get("", 0),
        "ir_version": read.ir_version,
        "golden_tolerance": golden_tolerance(model.precision, report, logits),
        **({} if maps is None else {"cam_tolerance": cam_tolerance(model.precision, report, maps)}),
        **described_model(contents.known, model.file),
        "operators": read.operators,
        "initializers": [dict(entry) for entry in model.initializers],
    }
