"""All that a bundle is made of, as `exporters.bundle.pack` takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporters.core.known import Score
from exporters.drift import DriftReference
from exporters.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class BundleFacts:
    """Where the student comes from; goes into the manifest and the model card. Plain JSON values only.

    Args:
        recipe_sha256: of the resolved recipe; "" where no recipe is known.
        data_fingerprint: of the training data's content; "" where it is not known.
        licences: of `weights`, `data`, `code`, … as SPDX expressions; None is "not stated".
        teacher: identity of the teachers, as provenance; nothing of them is inside.
        versions: of the libraries that made the student.
        metrics: accuracy and the like, by name.
        data: what the student was trained and measured on, by name.
        results: by split, `images`, `correct`, `sha256` (`exporters.images.labelled.labelled_digest`), and
            `per_class`: by label, `images` and `correct`.
        command: what makes such a bundle again; "" where that is not one command.
        provenance: a sentence or two about the method for the model card.
    """

    recipe_sha256: str
    data_fingerprint: str
    licences: Mapping[str, str | None] = field(default_factory=dict)
    teacher: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    command: str = ""
    provenance: str = ""


@dataclass(frozen=True)
class ShippedModel:
    """One ONNX file that ships.

    Args:
        file: its name in the bundle; `model.onnx` is the fp32 one.
        precision: a key of `GOLDEN_LIMITS`.
        data: its bytes.
        initializers: what the audit gave for it.
    """

    file: str
    precision: str
    data: bytes
    initializers: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ShippedEngine:
    """A TensorRT engine that ships, with the ONNX file that it was built from.

    Args:
        source: the name of that file in the bundle.
        plan, sidecar: the bytes of both files.
    """

    source: str
    plan: bytes
    sidecar: bytes


@dataclass(frozen=True)
class ShippedIr:
    """OpenVINO IR that ships, made from `model.onnx`.

    Args:
        precision: `fp32` or `fp16`.
        xml, weights: the bytes of both files.
        version: of the OpenVINO that made them.
    """

    precision: str
    xml: bytes
    weights: bytes
    version: str


@dataclass(frozen=True)
class KnownModel:
    """From where on a model knows an image, and what it refuses.

    Args:
        threshold: the least score of an image that is known.
        refused: by kind of images, how many score below it; the same keys as `Known.images`.
    """

    threshold: float
    refused: Mapping[str, int]


@dataclass(frozen=True)
class Known:
    """How images that are none of the classes are told apart.

    Args:
        score: of the logits (`exporters.core.known`).
        false_alarms: the share of images like the training data that may be refused by mistake.
        images: by kind, `validation` and `test` among them, how many were measured.
        models: by file, for each that ships.
    """

    score: Score
    false_alarms: float
    images: Mapping[str, int]
    models: Mapping[str, KnownModel]


@dataclass(frozen=True)
class BundleContents:
    """All that a bundle is made of.

    Args:
        name: of the student.
        architecture: its name, such as `torchvision:mobilenet_v2`.
        parameters: how many trainable values it has.
        models: the fp32 file and its variants.
        preprocessing, labels: of the student.
        golden_images: uint8 `[n, size, size, 3]`, n of 8 or more.
        golden_logits: float32 `[n, K]`, the torch student's.
        parity: by what stands in the name of the file, each a `ParityReport.to_json()`, and `engines` and `openvino` by
            precision; those of what ships must have passed.
        benchmark: what `measure` gave.
        engines: those that were run on a GPU.
        golden_cam: float32 `[n, h, w]`, the torch student's class activation maps of its answers; None where the models
            give none.
        known: how images that are none of the classes are told apart; None where they are not.
        calibration: `temperature` and `splits`, as the manifest has them; None where probabilities are the plain
            softmax.
        drift: histograms of validation images and of model.onnx's answers to them; None: `serve` watches no drift.
        irs: OpenVINO IR, one of a precision.
    """

    name: str
    architecture: str
    parameters: int
    models: Sequence[ShippedModel]
    preprocessing: Preprocessing
    labels: Sequence[str]
    golden_images: np.ndarray
    golden_logits: np.ndarray
    parity: Mapping[str, Mapping[str, Any]]
    benchmark: Mapping[str, Any]
    facts: BundleFacts
    engines: Sequence[ShippedEngine] = ()
    golden_cam: np.ndarray | None = None
    known: Known | None = None
    calibration: Mapping[str, Any] | None = None
    drift: DriftReference | None = None
    irs: Sequence[ShippedIr] = ()
