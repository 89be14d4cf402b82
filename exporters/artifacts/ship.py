"""From files that passed to a verified bundle: golden vectors, speed, facts, packing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from exporters.artifacts.kinds import file_of, precision_of
from exporters.artifacts.openvino import MadeIr
from exporters.benchmark import measure
from exporters.bundle.contents import BundleContents, BundleFacts, Known, ShippedEngine, ShippedIr, ShippedModel
from exporters.bundle.manifest import ENGINE_SOURCES, ENGINES, MODEL, plan_name, variant_of
from exporters.bundle.pack import pack
from exporters.core.errors import UnavailableError
from exporters.core.progress import working
from exporters.drift import DriftReference
from exporters.images.labelled import labelled_digest
from exporters.runtimes import Explainer, OnnxRuntime, Runtime
from exporters.runtimes.openvino import OpenVinoRuntime
from exporters.student.student import TrainedStudent
from exporters.tensorrt.sidecar import read_sidecar, sidecar_path


@dataclass(frozen=True)
class Passed:
    """Files and engines that passed parity.

    Args:
        models: the ONNX files, `model.onnx` among them.
        engines: the precisions of the engines that ship.
        plans: the folder that these engines lie in, each with its sidecar.
        irs: OpenVINO IR.
        parity: as `BundleContents` takes it.
    """

    models: Sequence[ShippedModel]
    engines: Sequence[str]
    plans: Path
    parity: Mapping[str, Mapping[str, Any]]
    irs: Sequence[MadeIr] = ()

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        initializers: Mapping[str, list[dict[str, Any]]],
        engines: Sequence[str],
        parity: Mapping[str, Any],
        irs: Sequence[MadeIr] = (),
    ) -> Self:
        """Read the ONNX files from a folder; engines are in its subfolder `engines`.

        Args:
            initializers: of each file that ships, as the audit found them; by variant, `fp32` among them.
            engines, parity, irs: as above.
        """
        models = [
            ShippedModel(file_of(name), precision_of(name), (folder / file_of(name)).read_bytes(), entries)
            for name, entries in initializers.items()
        ]
        return cls(models, engines, folder / ENGINES, parity, irs)


def ship(
    student: TrainedStudent,
    reference: Runtime,
    passed: Passed,
    golden_images: np.ndarray,
    facts: BundleFacts,
    out_dir: Path,
    *,
    name: str,
    known: Known | None = None,
    calibration: Mapping[str, Any] | None = None,
    warn: Callable[[str], None] = lambda _line: None,
    judge: Callable[[int, float], None] = lambda _size, _latency_ms: None,
    measure_drift: Callable[[Runtime], DriftReference | None] = lambda _model: None,
) -> dict[str, Any]:
    """Take the golden vectors, measure speed, and pack `out_dir` and its archive; gives the manifest.

    Args:
        reference: the student in torch.
        golden_images: uint8 `[n, S, S, 3]`, 8 or more.
        name: of the student, letters, digits, `.`, `_` and `-`; servers call the model by it.
        known: how images that are none of the classes are told apart; None where they are not.
        calibration: as `BundleContents` takes it.
        warn: given a line for each engine whose speed cannot be measured here.
        judge: given the bytes of model.onnx and the milliseconds that it takes for one image (median), before anything
            is packed; may raise.
        measure_drift: given model.onnx as it ships; gives the histograms of validation, or None to pack none.

    Raises:
        UsageError, GateError, UnavailableError: as `exporters.bundle.pack.pack`, and what `judge` raises.
    """
    plans = [passed.plans / plan_name(ENGINE_SOURCES[precision]) for precision in passed.engines]
    runtimes: dict[str, Runtime] = {_runtime_name(model): OnnxRuntime(model.data) for model in passed.models}
    runtimes |= _running(plans, warn)
    runtimes |= {_ir_name(ir): OpenVinoRuntime(ir.xml, ir.weights) for ir in passed.irs}
    with working("measuring speed"):
        benchmark = measure({**runtimes, "torch-cpu": reference}, golden_images)
    main = next(model for model in passed.models if model.file == MODEL)
    judge(len(main.data), float(benchmark["runtimes"][_runtime_name(main)]["p50_ms"]))
    return pack(
        BundleContents(
            name=name,
            architecture=f"{student.architecture.source}:{student.architecture.name}",
            parameters=student.parameters,
            models=passed.models,
            engines=[
                ShippedEngine(ENGINE_SOURCES[precision], plan.read_bytes(), sidecar_path(plan).read_bytes())
                for precision, plan in zip(passed.engines, plans, strict=True)
            ],
            preprocessing=student.preprocessing,
            labels=student.labels,
            golden_images=golden_images,
            golden_logits=reference.predict(golden_images),
            parity=passed.parity,
            benchmark=benchmark,
            facts=facts,
            known=known,
            golden_cam=_golden_maps(runtimes[_runtime_name(main)], reference, golden_images),
            calibration=calibration,
            drift=measure_drift(runtimes[_runtime_name(main)]),
            irs=[ShippedIr(ir.precision, ir.xml, ir.weights, ir.version) for ir in passed.irs],
        ),
        out_dir,
    )


def _golden_maps(model: Runtime, reference: Runtime, images: np.ndarray) -> np.ndarray | None:
    """The student's class activation maps, where the models give them."""
    if not isinstance(model, OnnxRuntime) or model.map_size is None:
        return None
    assert isinstance(reference, Explainer)
    return reference.explain(images).cam


def split_results(
    predicted: np.ndarray, truth: np.ndarray, digests: Iterable[bytes], labels: Sequence[str]
) -> dict[str, Any]:
    """A bundle's results on a split: correct answers in all and by class.

    Args:
        predicted, truth: positions in `labels`, `[n]`.
        digests: SHA-256 of the bytes of each image.
        labels: K class names.
    """
    hashes = ((digest, labels[int(label)]) for digest, label in zip(digests, truth, strict=True))
    return {
        "images": len(truth),
        "correct": int(np.sum(predicted == truth)),
        "sha256": labelled_digest(hashes),
        "per_class": {
            name: {"images": int(np.sum(of_class)), "correct": int(np.sum(predicted[of_class] == place))}
            for place, name in enumerate(labels)
            for of_class in [truth == place]
        },
    }


def _running(plans: Sequence[Path], warn: Callable[[str], None]) -> dict[str, Runtime]:
    """The engines, to measure their speed; a warning for each that cannot run here, having been proved elsewhere."""
    from exporters.runtimes import tensorrt

    runtimes: dict[str, Runtime] = {}
    for plan in plans:
        sidecar = read_sidecar(sidecar_path(plan))
        library = sidecar["library"]["name"]
        try:
            runtime = tensorrt.TensorRTRuntime(plan, sidecar["plan"]["sha256"], library)
        except UnavailableError as error:
            warn(f"{plan.name}: its speed is not in benchmark.json: {error.message}")
            continue
        runtimes[f"{library} {variant_of(plan.name)}"] = runtime
    return runtimes


def _ir_name(ir: MadeIr) -> str:
    return "openvino-cpu" if ir.precision == "fp32" else f"openvino-cpu {ir.precision}"


def _runtime_name(model: ShippedModel) -> str:
    return "onnxruntime-cpu" if model.file == MODEL else f"onnxruntime-cpu {variant_of(model.file)}"
