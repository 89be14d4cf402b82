"""Latency of a file in ONNX Runtime, measured once for each graph, and the files of a student before it is trained."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.benchmark.machine import processor
from exporters.benchmark.rounds import InProcess, summarise, time_rounds
from exporters.core.errors import TmkdError
from pipeline.search.journal import Journal

if TYPE_CHECKING:
    import onnx

    from exporters.student.student import TrainedStudent

SECONDS = 2.0
_IMAGES = 4
_SEED = 17


@dataclass(frozen=True)
class Measured:
    """A file's costs.

    Attributes:
        latency_ms: median time of one image.
        p95_ms: the time that 95 % of the calls keep to.
        size: bytes.
    """

    latency_ms: float
    p95_ms: float
    size: int


def untrained_files(
    student: "TrainedStudent", opset: int, precisions: tuple[str, ...]
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The files of an untrained student, as the search for each precision begins.

    A trained net can need more layers in fp32 than the untrained one, and be larger and slower than these files. It is
    hardly ever faster, so that one beyond the bounds now would be so after training.

    Args:
        student: with random weights.
        opset: of the recipe.
        precisions: of `pipeline.search.space.PRECISIONS`.

    Returns:
        Precision → file, and precision → why there is none.

    Raises:
        TmkdError: it cannot be exported at all.
    """
    from exporters.artifacts.rehearsal import rehearse, rehearse_variant

    fp32 = rehearse(student, opset)
    files, refused = {"fp32": fp32.model}, {}
    for precision in precisions:
        if precision != "fp32":
            try:
                files[precision] = rehearse_variant(precision, fp32, student.preprocessing.size)
            except TmkdError as error:
                refused[precision] = error.message.splitlines()[0]
    return {name: files[name] for name in precisions if name in files}, refused


def measured(model: bytes, size: int, threads: int, journal: Journal) -> Measured:
    """A file's costs; its latency is measured unless a file with the same graph was before.

    How long a graph takes does not follow from its weights, so that trainings of one student have the same latency, and
    noise decides between none of them.

    Args:
        model: the ONNX file.
        size: side of its images, in pixels.
        threads: of ONNX Runtime, 1 or more.
        journal: remembers.

    Raises:
        GateError: ONNX Runtime cannot load it.
    """
    key = f"latency {graph_digest(model)} at {size} px, {threads} threads, {processor()}"
    found = journal.latency(key, lambda: _timed(model, size, threads))
    return Measured(float(found["p50_ms"]), float(found["p95_ms"]), len(model))


def _timed(model: bytes, size: int, threads: int) -> Mapping[str, Any]:
    from exporters.runtimes import OnnxRuntime

    images = np.random.default_rng(_SEED).integers(0, 256, (_IMAGES, size, size, 3), dtype=np.uint8)
    runtime = InProcess(OnnxRuntime(model, threads=threads), images)
    figures = summarise(time_rounds({"file": runtime}, 1, seconds=SECONDS)["file"], 1)
    return {name: figures[name] for name in ("p50_ms", "p95_ms", "calls", "rounds")}


def graph_digest(model: bytes) -> str:
    """Digest of the operators, their attributes and the shapes of all tensors; not of names, texts and numbers in them.

    Args:
        model: an ONNX file without external data.
    """
    import onnx

    graph = onnx.load_from_string(model).graph
    names: dict[str, int] = {}
    digest = hashlib.sha256()

    def note(*parts: object) -> None:
        digest.update(repr(parts).encode() + b"\n")

    def number(name: str) -> int:
        return names.setdefault(name, len(names)) if name else -1

    for value in graph.input:
        note("input", number(value.name), value.type.SerializeToString(deterministic=True))
    shapes = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    for node in graph.node:
        taken = [(number(name), shapes.get(name)) for name in node.input]
        attributes = sorted((each.name, _plain(each)) for each in node.attribute)
        note(node.op_type, node.domain, taken, [number(name) for name in node.output], attributes)
    for value in graph.output:
        note("output", number(value.name))
    return digest.hexdigest()[:32]


def _plain(attribute: "onnx.AttributeProto") -> str:
    if attribute.HasField("t"):
        return repr((attribute.t.data_type, tuple(attribute.t.dims)))
    return attribute.SerializeToString(deterministic=True).hex()
